"""Numbers, names and lists as a page says them."""

from __future__ import annotations

import html
from collections.abc import Sequence

NARROW = "\u202f"
TIMES = "\u00d7"
DOTS = "\u2026"
NOUNS = {"params": "parameters", "flops": "FLOPs"}
"""What some metrics count, where the name alone would read badly."""


def plain(text: object) -> str:
    """One line of what can be printed: control characters and lone surrogates become blanks."""
    line = "".join(c if c.isprintable() or c == NARROW else " " for c in str(text))
    return " ".join(part for part in line.split(" ") if part)


def escaped(text: object) -> str:
    """Text that may come from anywhere, for HTML and SVG, also within attributes."""
    return html.escape(plain(text), quote=True)


def clipped(text: object, most: int) -> str:
    """At most so many characters."""
    line = plain(text)
    return line if len(line) <= most else line[: most - 1].rstrip() + DOTS


def pinched(text: object, most: int) -> str:
    """At most so many characters, the middle left out: names often differ at their ends."""
    line = plain(text)
    half = (most - 1) // 2
    return line if len(line) <= most else line[: most - 1 - half] + DOTS + line[-half:]


def short(value: float) -> str:
    """Four digits, or three and a letter: ``0.987``, ``61.2 k``, ``2.56 M``."""
    rounded = float(f"{value:.3g}")
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size <= abs(rounded) < 1e12:
            return f"{rounded / size:.3g}{NARROW}{letter}"
    return f"{value:.4g}"


def duration(seconds: float) -> str:
    """``0.4 s``, ``35 s``, ``3 min 19 s``, ``2 h 5 min``, ``4 d 3 h``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    sizes = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s"))
    for size, unit, part, part_unit in sizes:
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {part_unit}" if rest else "")
    return f"{whole} s"


def plural(count: int, noun: str) -> str:
    """``1 trial``, ``5,000 trials``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(parts: Sequence[str]) -> str:
    """``a, b and c``."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def noun(name: str, unit: str = "") -> str:
    """What a metric measures, without its unit: ``latency`` of ``latency_ms`` in ms."""
    if unit and name.lower().endswith(f"_{unit.lower()}"):
        name = name[: -len(unit) - 1]
    return NOUNS.get(name, name.replace("_", " "))


def axis_label(name: str, unit: str = "") -> str:
    """What a metric measures, and in what: ``latency (ms)``."""
    return noun(name, unit) if name in NOUNS or not unit else f"{noun(name, unit)} ({unit})"


def quantity(name: str, unit: str, value: float, what: str = "") -> str:
    """A metric's value in words: ``61.2 k parameters``, ``0.987 test accuracy``."""
    return f"{amount(name, unit, value)} {what}{noun(name, unit)}"


def amount(name: str, unit: str, value: float) -> str:
    """A metric's value with its unit: ``4.2 ms``, and ``61.2 k`` of what its name counts."""
    return short(value) if name in NOUNS or not unit else f"{short(value)} {unit}"
