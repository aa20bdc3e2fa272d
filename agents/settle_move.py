"""How a migration ended: a table over the copies at the source and at the destination. Pure.

By UUID and by the three names, with state letters and CPU time; the command's exit code and words
are hints only. Nothing is destroyed unless the table proves that it never ran, or that it is a
suspended rest of a guest that runs elsewhere. Doubt is UNKNOWN; two copies are BOTH.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from agents.copies import Condition, Copy, Role, copies, strangers
from agents.hints import Hint, hint
from agents.verdict import Mend, Outcome, Retry, Verdict
from agents.wire import Attempt, MendAction, Order, Report

LATE_SUSPEND = timedelta(minutes=2)
"""A guest that took the suspend request may still suspend after xl gave up."""

GO_WAS_GIVEN = "Giving target permission to start"
"""Printed right before the message that lets the destination run the guest."""

BEFORE_GO = "Target has acknowledged transfer"
"""Printed right before the guest gets the name of a finished move, which is before that message."""

RESUME_SINCE = (4, 20)
"""The first release with `xl resume`."""


@dataclass(frozen=True)
class Case:
    """One attempt and what is left of its guest on both hosts. Dying copies are not in the lists"""

    order: Order
    attempt: Attempt
    source: Report
    destination: Report
    guest: str
    uuid: str
    here: tuple[Copy, ...]
    there: tuple[Copy, ...]
    never_ran: bool = False  # its copy there was seen not to have run, and was destroyed by us

    @property
    def hint(self) -> Hint:
        return hint(self.attempt.exit_code, self.attempt.output_tail)

    def mend(self, action: MendAction, copy: Copy, why: str) -> Mend:
        at_source = action in (MendAction.DESTROY_SOURCE, MendAction.RESUME_SOURCE)
        host = self.source.host if at_source else self.destination.host
        return Mend(host, action, copy.domid, self.guest, self.uuid, why)


def make_case(
    order: Order, attempt: Attempt, source: Report, destination: Report, never_ran: bool
) -> Case:
    """Collect the copies. The order is a move, so it names a guest and its UUID."""
    guest, uuid = order.guest or "", order.guest_uuid or ""
    here = _alive(copies(source.domains, guest, uuid))
    there = _alive(copies(destination.domains, guest, uuid))
    return Case(order, attempt, source, destination, guest, uuid, here, there, never_ran)


def _alive(found: Sequence[Copy]) -> tuple[Copy, ...]:
    return tuple(copy for copy in found if copy.condition is not Condition.DYING)


def settle_case(case: Case) -> Verdict:
    """The table."""
    if len(case.here) > 1 or len(case.there) > 1:
        return _several(case)
    if any(copy.role is Role.OTHER for copy in (*case.here, *case.there)):
        return _unknown(f"{case.guest}'s UUID is under another name: {_seen(case)}")
    if case.here and case.there:
        return _on_both_hosts(case, case.here[0], case.there[0])
    if case.there:
        return _only_there(case, case.there[0])
    if case.here:
        return _only_here(case, case.here[0])
    return Verdict(
        Outcome.CRASHED,
        f"{case.guest} is on neither host: it crashed, shut down or was destroyed on the way",
        retry=Retry.PERSON,
    )


def _seen(case: Case) -> str:
    parts = [f"{case.source.host}: {copy}" for copy in case.here]
    parts += [f"{case.destination.host}: {copy}" for copy in case.there]
    return "; ".join(parts)


def _unknown(reason: str, retry: Retry = Retry.PERSON) -> Verdict:
    return Verdict(Outcome.UNKNOWN, reason, retry=retry)


def _both(case: Case) -> Verdict:
    return Verdict(
        Outcome.BOTH,
        f"two copies of {case.guest} ran or can run: {_seen(case)}",
        retry=Retry.PERSON,
    )


def _several(case: Case) -> Verdict:
    """More than one copy on one host."""
    live = [c for c in (*case.here, *case.there) if not c.never_ran]
    if len([c for c in live if c.condition in (Condition.RUNS, Condition.PAUSED)]) > 1:
        return _both(case)
    return _unknown(f"more copies of {case.guest} than a migration makes: {_seen(case)}")


def _only_there(case: Case, copy: Copy) -> Verdict:
    """The source holds nothing of the guest."""
    where = case.destination.host
    if copy.condition in (Condition.CRASHED, Condition.SHUT_DOWN):
        return Verdict(
            Outcome.CRASHED,
            f"{case.guest} moved to {where} and is {copy.condition.value} there",
            retry=Retry.PERSON,
        )
    if copy.role is not Role.OWN:
        return _unknown(f"the only copy of {case.guest} has not arrived whole: {_seen(case)}")
    if copy.condition is Condition.SUSPENDED:
        return _unknown(f"{case.guest} is suspended at its destination: {_seen(case)}")
    if copy.ran:
        still = ", paused there by somebody" if copy.condition is Condition.PAUSED else ""
        return _moved(case, copy, f"{case.guest} runs on {where}{still}")
    if copy.condition is Condition.RUNS:
        return _just_started(case)
    why = f"{case.guest} arrived on {where} paused, and {case.source.host} has no copy"
    mend = case.mend(MendAction.UNPAUSE, copy, why)
    return Verdict(Outcome.UNKNOWN, why, (mend,), Retry.LATER)


def _moved(case: Case, there: Copy, reason: str, mends: tuple[Mend, ...] = ()) -> Verdict:
    return Verdict(
        Outcome.MOVED,
        reason,
        mends,
        blackout=case.attempt.blackout,
        arrived_domid=there.domid,
        arrived_boot_id=case.destination.boot_id,
    )


def _just_started(case: Case) -> Verdict:
    return _unknown(
        f"{case.guest} is unpaused on {case.destination.host} but has used no CPU time yet",
        Retry.LATER,
    )


def _only_here(case: Case, copy: Copy) -> Verdict:
    """The destination holds nothing of the guest."""
    if copy.condition is Condition.SUSPENDED:
        return _stranded(case, copy)
    if copy.condition is Condition.CRASHED:
        return Verdict(
            Outcome.CRASHED, f"{case.guest} crashed on {case.source.host}", retry=Retry.PERSON
        )
    if copy.role is not Role.OWN:
        return _unknown(f"{case.guest} has the name of a finished move: {_seen(case)}")
    if copy.condition is Condition.SHUT_DOWN:
        return Verdict(
            Outcome.STAYED,
            f"{case.guest} was shut down on {case.source.host} meanwhile",
            retry=Retry.LATER,
        )
    return _stayed(case, copy)


def _stayed(case: Case, copy: Copy, mends: tuple[Mend, ...] = ()) -> Verdict:
    """It goes on at the source as before; the command's words say what may be tried next."""
    if _may_suspend_late(case):
        return _unknown(f"{case.guest} may still suspend on {case.source.host}", Retry.LATER)
    if case.attempt.exit_code == 0:
        reason = f"xl said success, yet {case.guest} is only on {case.source.host}"
        return Verdict(Outcome.STAYED, reason, mends, Retry.PERSON)
    if case.attempt.domid is not None and copy.domid != case.attempt.domid:
        reason = f"{case.guest} restarted on {case.source.host} as domain {copy.domid}"
        return Verdict(Outcome.STAYED, reason, mends, Retry.LATER)
    found = case.hint
    retry, cause = found.retry, found.cause
    if copy.condition is Condition.PAUSED:
        retry, cause = Retry.PERSON, "it is paused: " + cause
    taken = strangers(case.destination.domains, case.guest, case.uuid)
    if taken and retry is not Retry.NEVER:
        retry, cause = (
            Retry.OTHER_DESTINATION,
            f"its name is taken there by domain {taken[0].domid}",
        )
    return Verdict(
        Outcome.STAYED, f"{case.guest} stayed on {case.source.host}: {cause}", mends, retry
    )


def _may_suspend_late(case: Case) -> bool:
    if "guest did not suspend, timed out" not in case.attempt.output_tail:
        return False
    ended = case.attempt.ended_at
    return ended is None or case.source.taken_at < ended + LATE_SUSPEND


def _stranded(case: Case, copy: Copy) -> Verdict:
    """Suspended at the source, nothing at the destination: resume it, if it surely never ran."""
    what = (
        f"{case.guest} is suspended on {case.source.host} and {case.destination.host} has no copy"
    )
    if case.destination.receiving:
        return _unknown(f"{what}, but a receiver still lives there", Retry.LATER)
    said = case.attempt.output_tail
    if GO_WAS_GIVEN in said and not case.never_ran:
        return _unknown(f"{what}, yet it was cleared to run there: it may have run")
    if copy.role is Role.AWAY and BEFORE_GO not in said and not case.never_ran:
        return _unknown(f"{what}, and what xl said is not known to the end: it may have run there")
    if not _can_resume(case.source):
        return _unknown(f"{what}; Xen {case.source.xen} has no `xl resume`: a person has to")
    mend = case.mend(MendAction.RESUME_SOURCE, copy, what)
    return Verdict(Outcome.UNKNOWN, what, (mend,), Retry.LATER)


def _can_resume(report: Report) -> bool:
    parts = report.xen.split(".")
    return all(p.isdigit() for p in parts) and tuple(map(int, parts)) >= RESUME_SINCE


def _on_both_hosts(case: Case, here: Copy, there: Copy) -> Verdict:
    rows: dict[Condition, Callable[[Case, Copy, Copy], Verdict]] = {
        Condition.RUNS: _here_lives,
        Condition.PAUSED: _here_lives,
        Condition.SUSPENDED: _here_suspended,
    }
    return rows.get(here.condition, _here_ended)(case, here, there)


def _here_lives(case: Case, here: Copy, there: Copy) -> Verdict:
    """The source's copy runs, or would at an unpause."""
    if not there.never_ran:
        return _both(case)
    if here.role is not Role.OWN:
        return _unknown(f"{case.guest} runs under the name of a finished move: {_seen(case)}")
    if case.destination.receiving:
        return _unknown(
            f"{case.guest} runs on {case.source.host}, and a receiver still lives on "
            f"{case.destination.host} beside {there}",
            Retry.LATER,
        )
    why = f"it never ran, and {case.guest} runs on {case.source.host}"
    return _stayed(case, here, (case.mend(MendAction.DESTROY_INCOMING, there, why),))


def _here_suspended(case: Case, here: Copy, there: Copy) -> Verdict:
    if there.never_ran:
        return _suspended_and_incoming(case, there)
    if there.role is not Role.OWN:
        return _unknown(f"a copy ran under the name of a move: {_seen(case)}")
    if here.role is not Role.AWAY:
        return _unknown(f"the names are not those of a migration: {_seen(case)}")
    if there.condition is Condition.RUNS and there.ran:
        why = f"{case.guest} runs on {case.destination.host}"
        mend = case.mend(MendAction.DESTROY_SOURCE, here, why)
        return _moved(case, there, f"{why}; its old copy is left behind", (mend,))
    if there.condition is Condition.RUNS:
        return _just_started(case)
    if there.condition is Condition.PAUSED and not there.ran:
        why = f"{case.guest} arrived on {case.destination.host} paused, and the other is suspended"
        return Verdict(
            Outcome.UNKNOWN, why, (case.mend(MendAction.UNPAUSE, there, why),), Retry.LATER
        )
    if there.condition is Condition.CRASHED:
        return Verdict(
            Outcome.CRASHED,
            f"{case.guest} crashed on {case.destination.host}; its old copy is still suspended on "
            f"{case.source.host}: a person has to choose",
            retry=Retry.PERSON,
        )
    return _unknown(f"neither copy of {case.guest} runs: {_seen(case)}")


def _suspended_and_incoming(case: Case, there: Copy) -> Verdict:
    """Both halves are there and neither runs: the destination's never did."""
    what = f"{case.guest} is suspended on {case.source.host}, its copy there never ran"
    if case.destination.receiving:
        return _unknown(f"{what}, but a receiver still lives", Retry.LATER)
    if not _can_resume(case.source):
        return _unknown(f"{what}; Xen {case.source.xen} has no `xl resume`: a person has to")
    mend = case.mend(MendAction.DESTROY_INCOMING, there, what)
    return Verdict(Outcome.UNKNOWN, what, (mend,), Retry.LATER)


def _here_ended(case: Case, here: Copy, there: Copy) -> Verdict:
    """The source's copy crashed or shut down."""
    if there.role is Role.OWN and there.ran:
        return _both(case)
    return _unknown(f"{case.guest} ended at the source, and a copy is there: {_seen(case)}")
