"""Texts from outside (guests' names, outputs of commands) on their way to a terminal or a log."""

from __future__ import annotations


def plain(text: str) -> str:
    """The text with everything that a terminal could take as a command made visible."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
