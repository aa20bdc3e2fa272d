"""Whether the destination of a move reaches the very disks of its guest. Pure.

Both hosts are asked right before the move what is at each path: a block device or a file that can
be opened and read, how large, and by which name it knows itself. What differs refuses the move.
Not proven: that two devices without such a name hold the same; that the destination could write;
anything of disks that a script attaches, or that QEMU reaches without a path.
"""

from __future__ import annotations

from dataclasses import replace

from agents.wire import Disk, DiskFound, GuestSeen, Report
from scheduler.gate import Answer, Blame, Gate, hold

Questions = tuple[tuple[str, tuple[str, ...]], ...]
"""Host -> the paths that it is to look at."""


def questions(gate: Gate) -> Questions:
    """What has to be asked before this move can go on: paths that both hosts have not looked at."""
    if gate.guest is None or gate.source is None or gate.destination is None:
        return ()
    if gate.answer is not Answer.GO or gate.destination.disks is None:
        return ()  # an agent of another age answers no such question
    paths = tuple(sorted({disk.target for disk in _checked(gate.guest)}))
    hosts = [report for report in (gate.destination, gate.source) if report.disks is not None]
    unanswered = [r.host for r in hosts if set(paths) - {one.target for one in r.disks or ()}]
    return tuple((host, paths) for host in unanswered)


def questions_ahead(gate: Gate) -> Questions:
    """The same for a move whose turn comes soon: every path, for whichever look comes next."""
    if gate.answer is not Answer.GO or not gate.guest or not gate.source or not gate.destination:
        return ()
    paths = tuple(sorted({disk.target for disk in _checked(gate.guest)}))
    hosts = [one.host for one in (gate.destination, gate.source) if one.disks is not None]
    return tuple((host, paths) for host in hosts) if paths and len(hosts) == 2 else ()


def judged(gate: Gate) -> Gate:
    """The gate of a move, closed where a disk of its guest is not what it should be."""
    if gate.answer is not Answer.GO or not gate.guest or not gate.source or not gate.destination:
        return gate
    if gate.destination.disks is None:
        return gate
    for disk in _checked(gate.guest):
        wrong = _wrong(disk, _found(gate.source, disk), _found(gate.destination, disk), gate)
        if wrong:
            return replace(hold(wrong, Blame.DESTINATION), guest=gate.guest)
    return gate


def _checked(guest: GuestSeen) -> list[Disk]:
    return [disk for disk in guest.disks or () if not disk.unchecked]


def _found(report: Report, disk: Disk) -> DiskFound:
    nothing = DiskFound(target=disk.target)
    return next((one for one in report.disks or () if one.target == disk.target), nothing)


def _wrong(disk: Disk, here: DiskFound, there: DiskFound, gate: Gate) -> str:
    assert gate.guest and gate.source and gate.destination
    what = f"{gate.destination.host} cannot take {gate.guest.name}: its disk {disk}"
    if there.problem:
        return f"{what}: {there.problem}"
    if here.problem:
        return ""  # its source cannot tell what it should be
    source = gate.source.host
    if here.kind and there.kind and here.kind != there.kind:
        return f"{what} is a {there.kind} there and a {here.kind} on {source}"
    if here.identity and there.identity and here.identity != there.identity:
        return f"{what} is {there.identity} there and {here.identity} on {source}"
    sizes = (here.size_bytes, there.size_bytes)
    if None not in sizes and sizes[0] != sizes[1] and not disk.grows:
        return f"{what} has {sizes[1]} bytes there and {sizes[0]} on {source}"
    return ""
