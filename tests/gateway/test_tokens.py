"""The file of tokens, and the command that makes them."""

import hashlib
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from gateway import tokens
from gateway.roles import Role
from gateway.tokens import Tokens
from tests.gateway.callers import entry


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tokens.yaml"


def write(path, *entries):
    path.write_text(yaml.safe_dump({"tokens": list(entries)}))


def test_a_token_stands_for_its_name_and_roles(path):
    write(path, entry("ci", "secret-1", ["trainer:detection", "viewer"]), entry("b", "secret-2"))

    caller = Tokens(path).caller("secret-1")

    assert caller.name == "token:ci"
    assert caller.has(Role.TRAINER, "detection")
    assert not caller.has(Role.TRAINER, "classification")


@pytest.mark.parametrize("token", ["", "secret", "secret-11", "SECRET-1", "é"])
def test_another_token_stands_for_nobody(path, token):
    write(path, entry("ci", "secret-1"))

    assert Tokens(path).caller(token) is None


def test_the_hash_of_a_token_is_no_token(path):
    """Who reads the file has not got the tokens."""
    write(path, entry("ci", "secret-1"))

    assert Tokens(path).caller(hashlib.sha256(b"secret-1").hexdigest()) is None


@pytest.mark.parametrize(
    ("expires", "is_known"),
    [
        (datetime.now(UTC) + timedelta(hours=1), True),
        (datetime.now(UTC) - timedelta(seconds=1), False),
        ((datetime.now(UTC) + timedelta(days=1)).date(), True),
        (datetime.now(UTC).date(), False),
        ((datetime.now(UTC) - timedelta(hours=1)).replace(tzinfo=None), False),  # read as UTC
    ],
)
def test_a_token_may_expire(path, expires, is_known):
    """At the beginning of a day, in UTC, if only that is given."""
    write(path, entry("ci", "secret-1", expires=expires))

    assert (Tokens(path).caller("secret-1") is not None) == is_known


def test_a_changed_file_is_read_again(path):
    """A token that is taken out is revoked."""
    write(path, entry("a", "secret-a"))
    known = Tokens(path)

    write(path, entry("b", "secret-b"))
    known.refresh()

    assert known.caller("secret-a") is None
    assert known.caller("secret-b").name == "token:b"


@pytest.mark.parametrize("content", ["tokens: [", "tokens: " + "[" * 900])
def test_a_damaged_file_changes_nothing(path, caplog, content):
    write(path, entry("a", "secret-a"))
    known = Tokens(path)

    path.write_text(content)
    known.refresh()

    assert known.caller("secret-a")
    assert "is no YAML" in caplog.text


GOOD = {"name": "a", "sha256": "0" * 64, "roles": ["viewer"]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(None, "the file: Input should be", id="empty"),
        pytest.param({}, "tokens: Field required", id="no tokens"),
        pytest.param({"tokens": [GOOD | {"sha256": "abc"}]}, "tokens.0.sha256", id="no hash"),
        pytest.param({"tokens": [GOOD | {"name": "a b"}]}, "tokens.0.name", id="no name"),
        pytest.param({"tokens": [GOOD | {"roles": []}]}, "tokens.0.roles", id="no role"),
        pytest.param({"tokens": [GOOD | {"roles": ["root"]}]}, "'root' is no role", id="what role"),
        pytest.param({"tokens": [GOOD | {"role": "viewer"}]}, "tokens.0.role: Extra", id="typo"),
        pytest.param({"tokens": [GOOD, GOOD]}, "same name", id="twice"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(path, content, said):
    path.write_text(yaml.safe_dump(content))

    with pytest.raises(ValueError, match=r"tokens\.yaml") as raised:
        Tokens(path)

    assert said in str(raised.value)


def test_the_command_makes_a_token_and_its_entry(path):
    """The entry goes to standard output, ready to be added to the file; the token does not."""
    options = ["--role", "trainer:detection", "--role", "viewer", "--expires", "2999-01-01"]
    done = subprocess.run(
        [sys.executable, "-m", "gateway.tokens", "ci", *options],
        capture_output=True,
        text=True,
        check=True,
    )
    (token,) = [word for word in done.stderr.split() if word.startswith("ncv_")]
    path.write_text("tokens:\n" + done.stdout)

    caller = Tokens(path).caller(token)

    assert token not in done.stdout
    assert len(token) > 40
    assert caller.name == "token:ci"
    assert caller.has(Role.TRAINER, "detection")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a b", "--role", "viewer"], "'a b' is no name"),
        (["ci", "--role", "root"], "'root' is no role"),
        (["ci"], "--role"),
        (["ci", "--role", "viewer", "--expires", "soon"], "--expires"),
    ],
)
def test_the_command_says_what_is_wrong(capsys, arguments, said):
    with pytest.raises(SystemExit) as raised:
        tokens.main(arguments)

    assert raised.value.code == 2
    assert said in capsys.readouterr().err
