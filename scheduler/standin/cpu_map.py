"""CPU maps as xl reads and prints them."""

from __future__ import annotations


def wanted_cpus(text: str, cpus: int) -> set[int]:
    """`0-3,8`, `^2` to leave one out, `all`; CPUs that the host lacks stay in, for libxl to miss.

    What is no number counts for nothing: the map is empty then.
    """
    found: set[int] = set()
    for part in text.split(","):
        span = part.lstrip("^").partition("-")
        numbers = set(range(cpus)) if part == "all" else _span(span[0], span[2] or span[0])
        found = found - numbers if part.startswith("^") else found | numbers
    return found


def _span(first: str, last: str) -> set[int]:
    return set(range(int(first), int(last) + 1)) if first.isdigit() and last.isdigit() else set()


def shown(numbers: set[int], cpus: int) -> str:
    """`0-3,8`; `all` where it is every CPU of the host, `none` where it is none."""
    here = sorted(number for number in numbers if number < cpus)
    if len(here) == cpus:
        return "all"
    spans: list[list[int]] = []
    for number in here:
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans) or "none"
