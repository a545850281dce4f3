"""The real `nocode-vision`, as a child process."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("nocode-vision")
DEADLINE_S = 120


class Command:
    """Runs the command as a user of one server would type it."""

    def __init__(self, address):
        # Wide, so that no table folds what a test looks for.
        self.env = os.environ | {"NOCODE_ADDRESS": address, "COLUMNS": "250"}

    def run(self, *words, status=0):
        """Run it to its end, which must be with `status`; return what it printed."""
        done = subprocess.run(
            [PROGRAM, *map(str, words)],
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert done.returncode == status, f"{words} ended with {done.returncode}:\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def json(self, *words, status=0):
        """Run it with `--json`; return the one document that it printed."""
        return json.loads(self.run("--json", *words, status=status).stdout)

    def lines(self, *words, status=0):
        """Run it with `--json`; return the documents that it printed, one a line."""
        printed = self.run("--json", *words, status=status).stdout
        return [json.loads(line) for line in printed.splitlines()]

    def interrupt(self, *words, once):
        """Run it, press Ctrl-C once it has said `once`; return its status and what it said."""
        process = subprocess.Popen(
            [PROGRAM, *map(str, words)],
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            # A shell's background job ignores Ctrl-C, and so do its children unless told.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
        )
        os.set_blocking(process.stderr.fileno(), False)
        said = b""
        deadline = time.monotonic() + DEADLINE_S
        try:
            while once.encode() not in said:
                assert time.monotonic() < deadline, said.decode()
                assert process.poll() is None, said.decode()
                said += process.stderr.read() or b""
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            process.wait(DEADLINE_S)
            said += process.stderr.read() or b""
        finally:
            process.kill()
            process.wait()
            process.stderr.close()
        assert b"Traceback" not in said, said.decode()
        return process.returncode, said.decode()
