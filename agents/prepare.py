"""From an order to the commands that carry it out, by a fresh look at this host."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from agents import gates, guest_words, host_files, tuning, tuning_read, xl, xl_parse
from agents.command import CommandError, run
from agents.copies import MIGRATEDAWAY
from agents.gates import GATES, Sight
from agents.host_files import FileError
from agents.journal import Journal, JournalError
from agents.settings import Settings
from agents.stops import stopped_guests
from agents.wire import Kind, MendAction, Order, RefusalCode, Tuning
from agents.xl_parse import Info

RETRY_CODE = 2
"""`xen-livepatch` ends with 2 where the CPUs could not be brought together in time: try again."""


class Refusal(Exception):
    """The step must not start now."""

    def __init__(self, code: RefusalCode, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


@dataclass(frozen=True)
class Command:
    """One command of a step. A limit is only for commands that merely wait."""

    argv: tuple[str, ...]
    tries: int = 1
    retry_code: int | None = None
    limit_s: float | None = None


@dataclass(frozen=True)
class Work:
    """What the step runner is to do."""

    commands: tuple[Command, ...]
    domid: int | None = None
    inherit_locks: bool = True  # not for `xl create`: its daemon would keep them for ever
    linger_s: float | None = None
    tuning: Tuning | None = None  # of the guest, before the step
    untold: str = ""


def prepare(order: Order, settings: Settings, journal: Journal) -> Work:
    """Look, let the gate judge, build the commands. Raises Refusal."""
    try:
        sight = _look(order, settings, journal)
        busy = gates.busy(order, sight)
        if busy:
            raise Refusal(RefusalCode.BUSY, busy)
        gate = GATES.get(order.kind)
        refused = gate(order, sight, settings) if gate else None
        if refused:
            raise Refusal(RefusalCode.GATE, refused)
        return BUILDERS[order.kind](order, sight, settings)
    except (CommandError, xl_parse.ParseError, FileError, JournalError) as error:
        raise Refusal(RefusalCode.UNREADABLE, str(error)) from None


def _look(order: Order, settings: Settings, journal: Journal) -> Sight:
    """Only what the gate of this kind of step asks for."""
    boot_id = host_files.boot_id(settings)
    others = tuple(a for a in journal.running(boot_id) if a.attempt_id != order.attempt_id)
    domains = xl_parse.parse_list(run(xl.list_domains(settings), settings.xl_timeout_s).stdout)
    sight = Sight(domains=domains, boot_id=boot_id, running=others)
    more = {
        Kind.MOVE: _for_move,
        Kind.START: _for_start,
        Kind.MEND: _for_mend,
        Kind.RETUNE: _for_retune,
    }
    if order.kind is Kind.REBOOT:
        return _for_reboot(order, sight, settings, journal)
    return more[order.kind](order, sight, settings) if order.kind in more else sight


def _info(settings: Settings) -> Info:
    return xl_parse.parse_info(run(xl.info(settings), settings.xl_timeout_s).stdout)


def _for_move(order: Order, sight: Sight, settings: Settings) -> Sight:
    info = _info(settings)
    sight = _with_xen(sight, info)
    domain, _ = gates.the_guest(order, sight)
    if domain is None:
        return sight
    said = run(xl.list_configs(settings, domain.domid), settings.xl_timeout_s)
    config = xl_parse.parse_configs(said.stdout).get(domain.domid)
    found, untold = tuning_read.tuning_of(settings, domain.domid, info)
    refuses = guest_words.cannot_suspend(settings, domain.domid)
    return replace(sight, config=config, refuses_suspend=refuses, tuning=found, untold=untold)


def _for_mend(order: Order, sight: Sight, settings: Settings) -> Sight:
    return _with_xen(sight, _info(settings))


def _with_xen(sight: Sight, info: Info) -> Sight:
    xen = ".".join(info.xen_version.split(".")[:2])
    return replace(sight, virt_caps=info.virt_caps, xen=xen)


def _for_retune(order: Order, sight: Sight, settings: Settings) -> Sight:
    domain, _ = gates.the_guest(order, sight)
    if domain is None:
        return sight
    info = _info(settings)
    found, untold = tuning_read.tuning_of(settings, domain.domid, info)
    place = tuning_read.place(settings, info)
    return replace(sight, tuning=found, untold=untold, place=place)


def _for_start(order: Order, sight: Sight, settings: Settings) -> Sight:
    found = host_files.guest_configs(settings)
    config = host_files.config_for(found, order.guest or "", order.guest_uuid or "")
    return replace(sight, start_from=config)


def _for_reboot(order: Order, sight: Sight, settings: Settings, journal: Journal) -> Sight:
    return replace(
        sight,
        receiving=host_files.receivers(settings),
        boot_starts=host_files.boot_starts(settings),
        stopped_here=stopped_guests(journal, order.rollout_id),
        auto_links=host_files.auto_links(settings),
    )


def _move(order: Order, sight: Sight, settings: Settings) -> Work:
    domain, _ = gates.the_guest(order, sight)
    assert domain is not None and order.destination_address is not None  # the gate saw to it
    command = Command(xl.migrate(settings, domain.domid, order.destination_address))
    return Work((command,), domid=domain.domid, tuning=sight.tuning, untold=sight.untold)


def _stop(order: Order, sight: Sight, settings: Settings) -> Work:
    domain, _ = gates.the_guest(order, sight)
    assert domain is not None
    command = Command(xl.shutdown(settings, domain.domid), limit_s=settings.stop_wait_s)
    return Work((command,), domid=domain.domid)


def _start(order: Order, sight: Sight, settings: Settings) -> Work:
    config = sight.start_from
    assert config is not None
    uuid = order.guest_uuid if config.uuid is None else None
    path = str(settings.path(config.path))
    return Work((Command(xl.create(settings, path, uuid)),), inherit_locks=False)


def _reboot(order: Order, sight: Sight, settings: Settings) -> Work:
    """Links of guests that moved away are put aside first: they would start a second copy."""
    aside = str(settings.path(settings.aside_dir))
    links = [str(path) for name, path in sight.auto_links if name in order.moved_away]
    moves = [Command(("/bin/mv", "-f", "--", link, f"{aside}/")) for link in links]
    folder = [Command(("/bin/mkdir", "-p", "--", aside))] if moves else []
    reboot = Command(settings.reboot_command)
    return Work((*folder, *moves, reboot), linger_s=settings.reboot_linger_s)


def _mend(order: Order, sight: Sight, settings: Settings) -> Work:
    domid, guest = order.domid, order.guest
    assert domid is not None and guest is not None
    if order.mend is MendAction.UNPAUSE:
        argvs = [xl.unpause(settings, domid)]
    elif order.mend is MendAction.RESUME_SOURCE:
        away = any(d.domid == domid and d.name == guest + MIGRATEDAWAY for d in sight.domains)
        argvs = [xl.rename(settings, domid, guest)] if away else []
        argvs.append(xl.resume(settings, domid))
    else:
        argvs = [xl.destroy(settings, domid)]
    return Work(tuple(Command(argv) for argv in argvs), domid=domid)


def _retune(order: Order, sight: Sight, settings: Settings) -> Work:
    """Only what differs; nothing at all where the guest has everything."""
    domid, wanted, found, place = order.domid, order.tuning, sight.tuning, sight.place
    assert domid is not None and wanted is not None and found is not None and place is not None
    argvs = tuning.commands(settings, domid, wanted, found, place)
    return Work(tuple(Command(argv) for argv in argvs), domid=domid)


def _livepatch(order: Order, sight: Sight, settings: Settings) -> Work:
    """Upload and apply. What is loaded under that name but not active is unloaded first: nobody
    knows what file it was, and Xen does not apply again what it has reverted (EINVAL)."""
    name = order.payload or ""
    state = _patches(settings).get(name)
    if state == "APPLIED":
        raise Refusal(RefusalCode.GATE, f"{name} is already applied")
    path = settings.path(f"{settings.payload_dir}/{name}.livepatch")
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise Refusal(RefusalCode.GATE, f"{path}: {error.strerror}") from None
    if order.payload_sha256 not in (None, digest):
        raise Refusal(RefusalCode.GATE, f"{path} has SHA-256 {digest}, not the ordered one")
    argvs = [xl.livepatch_unload(settings, name)] if state == "CHECKED" else []
    argvs += [
        xl.livepatch_upload(settings, name, str(path)),
        xl.livepatch_apply(settings, name),
    ]
    tries = settings.livepatch_tries
    return Work(tuple(Command(argv, tries, RETRY_CODE) for argv in argvs))


def _patches(settings: Settings) -> dict[str, str]:
    """Name -> state of each payload that Xen has, in the order in which they were loaded."""
    said = run(xl.livepatch_list(settings), settings.xl_timeout_s).stdout
    return dict(xl_parse.parse_livepatches(said))


def _revert(order: Order, sight: Sight, settings: Settings) -> Work:
    """It stays loaded, and does nothing. That it was applied last is for Xen to say: what is
    listed last was loaded last."""
    name = order.payload or ""
    state = _patches(settings).get(name, "not loaded")
    if state != "APPLIED":
        raise Refusal(RefusalCode.GATE, f"{name} is not applied on this host: it is {state}")
    argv = xl.livepatch_revert(settings, name)
    return Work((Command(argv, settings.livepatch_tries, RETRY_CODE),))


BUILDERS: dict[Kind, Callable[[Order, Sight, Settings], Work]] = {
    Kind.MOVE: _move,
    Kind.STOP: _stop,
    Kind.START: _start,
    Kind.REBOOT: _reboot,
    Kind.MEND: _mend,
    Kind.LIVEPATCH: _livepatch,
    Kind.RETUNE: _retune,
    Kind.REVERT: _revert,
}
