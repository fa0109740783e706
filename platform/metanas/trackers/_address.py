"""Addresses and what is said about them, without the passwords in them.

An address is taken for what it may be rather than for what a standard makes of it: a
password with a slash in it gives no valid address, and is none the less a password.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

HIDDEN = "..."
"""Stands for all that follows the scheme, where a password could be any part of it."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]*\]|[^:\[\]]*)(:[0-9]*)?")
_MARKS = re.compile(r"[?#;]")
_LEFT_OUT = str.maketrans("", "", "\t\r\n")
"""What Python's own reader of addresses leaves out before it looks for their parts."""


def public(uri: str) -> str:
    """The address without name, password and query; its end is `HIDDEN` where they cannot be told.

    Args:
        uri: Any text, an address or not.
    """
    scheme, separator, rest = uri.partition("://") if "://" in uri else ("", "", uri)
    if separator and not _SCHEME.fullmatch(scheme):
        return HIDDEN
    if _is_path(scheme, rest):
        return f"{scheme}{separator}{rest.partition('?')[0]}"
    before, at, place = rest.rpartition("@")
    place = _MARKS.split(place)[0]
    # A mark before the last @ may be part of a password, or begin a query with the @ in it.
    # Without an @, what stands where a port belongs may be a password whose host is missing.
    if _MARKS.search(before) or not (at or _HOST.fullmatch(place.partition("/")[0])):
        return f"{scheme}{separator}{HIDDEN}"
    return f"{scheme}{separator}{place}"


def _is_path(scheme: str, rest: str) -> bool:
    """Whether it names a file: no host, so that an @ is part of a name."""
    if scheme.partition("+")[0] in ("sqlite", "file"):
        return rest.startswith("/")
    return not scheme and rest.startswith("/") and not rest.startswith("//")


def without_secrets(text: str, uri: str) -> str:
    """A text, such as an error's, with the address as `public` shows it.

    Words that stand in the address and are not shown are left out one by one too: errors
    quote parts of what they could not read.

    Args:
        text: Whole: of one that is cut first, half a password could stay.
        uri: The address that the text may quote.
    """
    shown = public(uri)
    if shown == uri:
        return text
    forms = " ".join((uri, uri.translate(_LEFT_OUT), unquote(uri), quote(uri)))
    secret = sorted(_words(forms) - _words(shown), key=len, reverse=True)
    text = text.replace(uri, shown)
    if not secret:
        return text
    any_of_them = "|".join(map(re.escape, secret))
    return re.sub(rf"(?<!\w)({any_of_them})(?!\w)", "***", text, flags=re.IGNORECASE)


def _words(text: str) -> set[str]:
    """In lower case: readers of addresses change the case of what they take for a host."""
    return {word.lower() for word in re.findall(r"\w+", text)}
