"""Seeds for everything random, each derived from the training's seed and from what it is for.

So nothing depends on what was drawn before, on which thread was faster, or on whether the training
was interrupted.
"""

from __future__ import annotations

import hashlib


def derive(seed: int, *purpose: str | int) -> int:
    """Return a seed in [0, 2⁶³) for one purpose, e.g. `derive(seed, "augment", epoch, index)`."""
    text = "/".join([str(seed), *(str(part) for part in purpose)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
