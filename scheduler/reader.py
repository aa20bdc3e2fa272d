"""Whether anybody still reads what a command prints."""

from __future__ import annotations

import select
import sys


def gone() -> bool:
    """True where standard output is a pipe or a terminal whose other end was closed.

    A write would tell, too; a command that watches what does not change would never write.
    """
    try:
        number = sys.stdout.fileno()
    except (OSError, ValueError):
        return False  # no file of this process: somebody collects it
    poll = select.poll()
    poll.register(number, 0)
    closed = select.POLLERR | select.POLLHUP | select.POLLNVAL
    return any(event & closed for _, event in poll.poll(0))
