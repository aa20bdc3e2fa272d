"""One line per event on stderr; a hostile name cannot break the line or colour a terminal."""

from __future__ import annotations

import logging
import sys


def escaped(text: str) -> str:
    """Everything that is no printable character, as Python would write it."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class OneLine(logging.Formatter):
    """Escapes the whole record, tracebacks too."""

    def format(self, record: logging.LogRecord) -> str:
        return escaped(super().format(record))


def set_up(level: str = "INFO") -> None:
    """Send every logger of this process to stderr. RQ keeps to it, as it finds a handler."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine("%(asctime)s %(levelname)s %(name)s[%(process)d] %(message)s"))
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(level)
