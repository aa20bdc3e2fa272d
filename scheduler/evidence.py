"""The evidence on one guest: every copy on every host, what it proves, what a person may do. Pure.

For the moment when a rollout has stopped over a guest: two copies, a copy that nobody resumes, an
end that nobody can tell. Nothing here acts; each way out is a command that a person gives.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from agents.copies import Condition, Copy, Role, copies
from agents.settle_move import GO_WAS_GIVEN, RESUME_SINCE
from agents.wire import Attempt, AttemptState, Report
from scheduler.frozen import Frozen
from scheduler.rollout import Step

HANDS_OFF = (
    "destroy, resume and kill nothing of it, on neither host: the move itself decides",
    "it may take long (`xenroll rollout status`); when it has ended, ask again",
)


class Shown(Frozen):
    """One copy of the guest as a host shows it, looked at twice."""

    host: str
    domid: int
    name: str
    condition: Condition
    role: Role
    cpu_time_s: float
    cpu_grew_s: float | None  # between the two looks; None where the first did not show it
    xen: str


class Tried(Frozen):
    """The newest attempt at a move of this guest."""

    rollout_id: str
    step_id: str
    source: str
    destination: str
    state: str
    reason: str
    exit_code: int | None = None
    output_tail: str = ""
    runs: bool = False  # by the newest look at its host: nobody may touch what it works on


class Evidence(Frozen):
    """All of it."""

    guest: str
    uuids: tuple[str, ...]
    copies: tuple[Shown, ...]
    unseen: tuple[str, ...]  # hosts that could not be looked at, each with why
    tried: Tried | None
    finding: str
    advice: tuple[str, ...]


def tried_of(rollout_id: str, step: Step, attempt: Attempt | None) -> Tried:
    """What a step's record and its host's journal say."""
    return Tried(
        rollout_id=rollout_id,
        step_id=step.id,
        source=step.host,
        destination=step.destination or "",
        state=str(step.state),
        reason=step.reason,
        exit_code=attempt.exit_code if attempt else None,
        output_tail=attempt.output_tail if attempt else "",
        runs=attempt is not None and attempt.state is AttemptState.RUNNING,
    )


def gather(
    guest: str,
    before: Mapping[str, Report],
    after: Mapping[str, Report],
    unseen: Sequence[str],
    tried: Tried | None,
) -> Evidence:
    """The evidence from two looks at every host that answered."""
    uuids = sorted({u for report in after.values() for u in _uuids(report, guest)})
    shown = [
        one for uuid in uuids for report in after.values() for one in _of_host(report, guest, uuid)
    ]
    found = tuple(_with_growth(one, before.get(one.host)) for one in shown)
    receiving = {report.host for report in after.values() if report.receiving}
    finding, advice = judge(guest, found, unseen, tried, receiving)
    return Evidence(
        guest=guest,
        uuids=tuple(uuids),
        copies=found,
        unseen=tuple(unseen),
        tried=tried,
        finding=finding,
        advice=tuple(advice),
    )


def _uuids(report: Report, guest: str) -> set[str]:
    return {d.uuid for d in report.domains if copies([d], guest, d.uuid)[0].role is not Role.OTHER}


def _of_host(report: Report, guest: str, uuid: str) -> list[Shown]:
    names = {domain.domid: domain.name for domain in report.domains}
    return [_shown(copy, names, report) for copy in copies(report.domains, guest, uuid)]


def _shown(copy: Copy, names: Mapping[int, str], report: Report) -> Shown:
    return Shown(
        host=report.host,
        domid=copy.domid,
        name=names[copy.domid],
        condition=copy.condition,
        role=copy.role,
        cpu_time_s=copy.cpu_time_s,
        cpu_grew_s=None,
        xen=report.xen,
    )


def _with_growth(one: Shown, before: Report | None) -> Shown:
    for domain in before.domains if before else ():
        if domain.domid == one.domid and domain.name == one.name:
            return one.model_copy(update={"cpu_grew_s": one.cpu_time_s - domain.cpu_time_s})
    return one


def judge(
    guest: str,
    found: Sequence[Shown],
    unseen: Sequence[str],
    tried: Tried | None,
    receiving: Collection[str] = (),
) -> tuple[str, list[str]]:
    """What the copies prove, and what a person may do next, in this order.

    `receiving`: hosts on which the receiver of a migration lives, of whichever guest.
    """
    alive = [one for one in found if one.condition in (Condition.RUNS, Condition.PAUSED)]
    ran = [one for one in alive if one.cpu_time_s > 0 or one.condition is Condition.RUNS]
    if len(ran) > 1:
        return _two_copies(guest, ran)
    if unseen:
        return (
            "not all hosts can be seen, so nothing is proved",
            ["reach these hosts first, or cut their power; then ask again"],
        )
    if moving := _under_way(found, tried, receiving):
        return moving, list(HANDS_OFF)
    if len(ran) == 1:
        return _one_runs(ran[0], [one for one in found if one is not ran[0]])
    suspended = [one for one in found if one.condition is Condition.SUSPENDED]
    if suspended:
        return _none_runs(guest, suspended[0], alive, tried)
    if found:
        return "no copy runs", [line for one in found for line in _ended(one)]
    return (
        "no host shows a copy",
        ["it ended: start it from its configuration where its disks are, once"],
    )


def _under_way(found: Sequence[Shown], tried: Tried | None, receiving: Collection[str]) -> str:
    """Why its copies may be the halves of a move that goes on; empty: they are not."""
    if tried and tried.runs:
        return f"a move of it is under way: xl migrate runs on {tried.source}"
    halves = [one.host for one in found if one.role is Role.INCOMING and one.host in receiving]
    return f"it may be on its way: xl migrate-receive runs on {halves[0]}" if halves else ""


def _ended(one: Shown) -> list[str]:
    """A domain that has ended and was kept: by its configuration, or as xl watched it no more."""
    text = f"look at {_place(one)}: it is {one.condition.value}"
    if one.condition is not Condition.SHUT_DOWN:
        return [text]
    return [
        f"{text}, and nothing runs in it any more",
        "if nobody wants to keep it as it is, it may go; then `xenroll rollout resume`:",
        f"  on {one.host}: xl destroy {one.domid}",
    ]


def _place(one: Shown) -> str:
    return f"domain {one.domid} ({one.name}) on {one.host}"


def _two_copies(guest: str, ran: Sequence[Shown]) -> tuple[str, list[str]]:
    advice = ["stop both from writing, at once:"]
    advice += [f"  on {one.host}: xl pause {one.domid}" for one in ran]
    advice += [
        "find out which one its users worked with (its console, its logs, the last writes)",
        "keep a copy of its disks as they are: both may have written to them",
        "on the host of the wrong one: xl destroy DOMID",
        "check the file systems from the right one, then there: xl unpause DOMID",
        "then `xenroll rollout resume`: the move is judged anew from what is left",
    ]
    where = " and ".join(_place(one) for one in ran)
    return f"{guest} has run in two places: {where}", advice


def _one_runs(one: Shown, others: Sequence[Shown]) -> tuple[str, list[str]]:
    still = "" if one.cpu_grew_s or one.condition is Condition.PAUSED else " (its CPU time stands)"
    finding = f"one copy has run, {_place(one)}, {one.condition.value}{still}"
    advice = (
        [f"  on {one.host}: xl unpause {one.domid}"] if one.condition is Condition.PAUSED else []
    )
    advice += [
        f"  on {other.host}: xl destroy {other.domid}   # {other.name}, {other.condition.value}"
        for other in others
    ]
    if not others:
        return finding, [*advice, "nothing contradicts it: `xenroll rollout resume` goes on"]
    first = "the others are rests of a move; destroy them only while this one is seen to run:"
    return finding, [first, *advice, "then `xenroll rollout resume`"]


def _none_runs(
    guest: str, held: Shown, alive: Sequence[Shown], tried: Tried | None
) -> tuple[str, list[str]]:
    """Suspended, and no copy that has run: whether it ran elsewhere is the question."""
    finding = f"{_place(held)} is suspended, and no other copy has run"
    advice = [
        f"on {one.host}: xl destroy {one.domid}   # {one.name}, paused, no CPU time: it never ran"
        for one in alive
    ]
    if tried and GO_WAS_GIVEN in tried.output_tail and not alive:
        finding += f"; yet {tried.destination} was told to start it, and may have run it"
        advice += [
            f"on {tried.destination}: see /var/log/xen/xl-{guest}.log, `xl dmesg`: did it run?",
            "if so, its disks went on: destroy this copy and start the guest anew; if not:",
        ]
    return finding, [*advice, *_resume(guest, held), "then `xenroll rollout resume`"]


def _resume(guest: str, held: Shown) -> list[str]:
    rename = [f"on {held.host}: xl rename {held.domid} {guest}"] if held.role is Role.AWAY else []
    parts = held.xen.split(".")
    if all(p.isdigit() for p in parts) and tuple(map(int, parts)) >= RESUME_SINCE:
        return [*rename, f"on {held.host}: xl resume {held.domid}"]
    return [
        *rename,
        f"on {held.host} (Xen {held.xen} has no `xl resume`), if it has no device model:",
        f"  python3 -c 'from xen.lowlevel.xc import xc; xc().domain_resume({held.domid}, 1)'",
        "  otherwise destroy it and start it from its configuration",
    ]
