"""How a migration can end in `tests.sim`: what xl says, and what it leaves on both hosts.

A row for each way that Xen's own code has; the texts are those of xl, libxl and libxc.
"""

from __future__ import annotations

from dataclasses import dataclass

from agents.copies import INCOMING, MIGRATEDAWAY

RUNS, PAUSED, SUSPENDED, CRASHED = "-b----", "--p---", "---ss-", "---sc-"


@dataclass(frozen=True)
class Copy:
    """A copy of the guest that is left: its six state letters, a suffix, its CPU time."""

    state: str = RUNS
    suffix: str = ""
    cpu_time_s: float = 1.0
    fresh: bool = False  # it restarted meanwhile: a new domid
    monitored: bool = True  # xl's monitor of it lives


@dataclass(frozen=True)
class Ending:
    """`here` and `there`: the copies at the source and at the destination; None: gone."""

    text: str
    here: Copy | None = Copy()
    there: Copy | None = None
    exit_code: int | None = 1  # None: it was killed, or nobody saw it
    lasts_s: float | None = None  # before it ends so; None: as long as any move


RESUMED = Copy(monitored=False)
"""It was suspended: its monitor takes that for its end, and nobody starts one anew."""

AWAY = Copy(SUSPENDED, MIGRATEDAWAY)
NEVER_RAN = Copy(PAUSED, INCOMING, 0.0)
FAILED_THERE = "migration target: Domain creation failed (code -3).\n"
NO_READY = "file/stream truncated reading ready message from migration receiver stream\n"
GO = "migration sender: Giving target permission to start.\n"
BROKEN = "xc: error: Failed to write page data to stream (32 = Broken pipe): Internal error\n"

ENDINGS: dict[str, Ending] = {
    # The source, before anything is sent.
    "its domain is unknown": Ending("g is an invalid domain identifier (rc=-6)\n"),
    "its configuration cannot be read": Ending("unable to retrieve domain configuration\n"),
    "its other configuration cannot be read": Ending("unable to read overridden config file\n"),
    "no configuration is stored": Ending(
        "No config file stored for running domain and none supplied - cannot migrate.\n"
    ),
    "connection refused": Ending(
        "libxl_read_exactly: file/stream truncated reading banner from migration receiver stream\n"
        "migration transport process [7] exited with error status 255\n"
    ),
    "breaks in the header": Ending(
        "xl: fatal error: xl_migrate.c:87: Broken pipe: migration stream write error\n"
    ),
    "shell prints a greeting": Ending(
        "migration receiver stream contained unexpected data instead of banner\n"
    ),
    # The destination does not take it; the guest never stopped.
    "no room there": Ending(f"failed to free memory for the domain\n{FAILED_THERE}"),
    "its xl is too old there": Ending(
        "Savefile has mandatory flag(s) 0x2 which are not supported; need newer xl\n"
    ),
    "a stale copy has its name there": Ending(
        f'Domain with name "g--incoming" already exists.\n{FAILED_THERE}'
    ),
    "cannot be created there": Ending(f"cannot make domain: -3\n{FAILED_THERE}"),
    "disk missing there": Ending(f"Disk vdev=xvda failed to stat: /dev/san/x\n{FAILED_THERE}"),
    "pool unknown there": Ending(f"Illegal pool specified: fast\n{FAILED_THERE}"),
    # What the guest or its source's hypervisor cannot do.
    "virtual NUMA": Ending("Cannot save a guest with vNUMA configured\n"),
    "writes cannot be tracked": Ending("Failed to enable logdirty: 22,22,22\n"),
    "no memory to track writes": Ending("Failed to enable logdirty: 12,12,12\n"),
    "device model does not track writes": Ending("logdirty switch failed (rc=-3)\n"),
    "memory size changes": Ending("p2m generation count changed. Migration aborted.\n"),
    "superpage": Ending("Cannot migrate superpage (PTE flags: 0xe7)\n"),
    # On the way.
    "breaks in pre-copy": Ending(BROKEN),
    "breaks in pre-copy, half a copy stays": Ending(BROKEN, there=NEVER_RAN),
    "ignores its suspend request": Ending(
        "guest didn't acknowledge suspend, cancelling request\n"
        "Migration failed, failed to suspend at sender.\n"
    ),
    "takes its suspend request, but goes on": Ending("guest did not suspend, timed out\n"),
    "crashes meanwhile, and is kept": Ending(
        "guest we were suspending has been destroyed\n", here=Copy(CRASHED)
    ),
    "shut down meanwhile": Ending("guest we were suspending has been destroyed\n", here=None),
    "restarted meanwhile": Ending(
        "guest we were suspending has been destroyed\n", here=Copy(fresh=True)
    ),
    "stays suspended": Ending(
        "libxl_domain_suspend failed (rc=-8)\nMigration failed, failed to suspend at sender.\n",
        here=Copy(SUSPENDED),
    ),
    "device model is not saved": Ending("failed to suspend device model, rc=-3\n", here=RESUMED),
    "breaks after the suspend": Ending(
        f"saving domain: domain responded to suspend request\n{NO_READY}", here=RESUMED
    ),
    # The destination, with the guest stopped.
    "does not fit there": Ending(
        f"Failed to populate physmap\n{FAILED_THERE}{NO_READY}", here=RESUMED
    ),
    "processor is poorer there": Ending(
        f"Failed to set CPUID policy\n{FAILED_THERE}{NO_READY}", here=RESUMED
    ),
    "bridge script fails there": Ending(
        f"unable to add vif devices\n{FAILED_THERE}{NO_READY}", here=RESUMED
    ),
    "its monitor cannot start": Ending(
        f"failed to open logfile /var/log/xen/x.log\n{NO_READY}", there=NEVER_RAN, here=RESUMED
    ),
    "ready is never heard": Ending(NO_READY, there=NEVER_RAN, here=RESUMED),
    # The names change hands.
    "an old copy is in the way here": Ending(
        'Domain with name "g--migratedaway" already exists.\n'
        "migration target: Failure, destroying our copy.\n",
        here=RESUMED,
    ),
    "its name is taken there": Ending(
        f"{GO}migration target: Failure, destroying our copy.\n"
        "migration sender: Target reports startup failure (status code 6).\n"
        "migration sender: Resumed OK.\n",
        here=RESUMED,
    ),
    "its copy there cannot be destroyed": Ending(
        f"{GO}migration target: Failed to destroy our copy (code -3).\n",
        here=AWAY,
        there=NEVER_RAN,
    ),
    "cut after go, it runs there": Ending(GO, here=AWAY, there=Copy()),
    "cut after go, paused there": Ending(GO, here=AWAY, there=Copy(PAUSED, "", 0.0)),
    "cut after go, half a copy there": Ending(GO, here=AWAY, there=NEVER_RAN),
    "cut after go, nothing there": Ending(GO, here=AWAY),
    "the old copy stays": Ending("Migration successful.\n", AWAY, Copy(), exit_code=0),
    # Killed processes.
    "xl killed in pre-copy": Ending("", exit_code=None),
    "xl killed while suspended": Ending("", here=Copy(SUSPENDED), exit_code=None),
    "xl killed after go": Ending(GO, here=AWAY, there=Copy(), exit_code=None),
    "save helper terminated": Ending("libxl_domain_suspend failed (rc=-8)\n"),
    "save helper terminated while suspended": Ending(
        f"libxl_domain_suspend failed (rc=-8)\n{NO_READY}", here=RESUMED
    ),
    "save helper killed": Ending(
        "domain save/restore helper [9] died due to fatal signal Killed\n" + NO_READY, here=RESUMED
    ),
    "receiver killed": Ending(BROKEN, there=NEVER_RAN),
    "receiver killed while suspended": Ending(NO_READY, there=NEVER_RAN, here=RESUMED),
    "its monitor is killed there": Ending(
        "Migration successful.\n", None, Copy(monitored=False), exit_code=0
    ),
    "receiver killed after the report": Ending(
        "Migration successful.\n", None, Copy(), exit_code=0
    ),
    "xl killed after the report": Ending(GO, here=AWAY, there=Copy(), exit_code=None),
    # The network says nothing any more: both ends wait until their keep-alives give up.
    "silence in pre-copy": Ending(BROKEN, lasts_s=7800),
    "silence while suspended": Ending(NO_READY, there=NEVER_RAN, lasts_s=7800, here=RESUMED),
    "silence after go": Ending(GO, here=AWAY, there=Copy(), lasts_s=7800),
    # It arrived.
    "crashes on arrival": Ending("Migration successful.\n", None, None, exit_code=0),
    "crashed copy there": Ending("Migration successful.\n", None, Copy(CRASHED), exit_code=0),
    "runs on both": Ending("Migration successful.\n", Copy(), Copy(), exit_code=0),
    "half a copy there that ran": Ending(GO, AWAY, Copy("--p---", INCOMING)),
    "runs on both, one half named": Ending(BROKEN, Copy(), Copy(RUNS, INCOMING)),
    "success is said, but it stayed": Ending("Migration successful.\n", exit_code=0),
}
"""Every way but the usual one, by what an operator would call it."""
