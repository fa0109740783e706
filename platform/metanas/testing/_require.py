"""One way to say that a law is broken."""

from __future__ import annotations


def require(kept: bool, message: str) -> None:
    """Raise AssertionError with `message` unless the law is `kept`; ``python -O`` changes nothing.

    Raises:
        AssertionError: If it is not.
    """
    if not kept:
        raise AssertionError(message)
