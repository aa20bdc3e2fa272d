"""What a boot can come back without: bridges, storage, xenstored, the newest microcode.

Armed with `boots-without-…` for a host's next boot; what was lost is there again when the fault
`lost` of that host is cleared (`clear(world, host)`).
"""

from __future__ import annotations

import os

from scheduler.standin import faults, san

TYPE_CHECKING = False
if TYPE_CHECKING:
    from scheduler.standin.store import State, World

DEAD_XENSTORED = "xenstored-dead"
OLD_MICROCODE = "0x5000001"
BOOT_FAULTS = (
    "boots-without-bridge",
    "boots-without-storage",
    "boots-without-xenstored",
    "boots-with-old-microcode",
)


def strike(world: World, host: str, state: State) -> None:
    """Take what is armed for this boot, before the host's files are written."""
    struck = [
        fault for fault in BOOT_FAULTS if faults.take(world, faults.HOST, host, fault) is not None
    ]
    if "boots-without-bridge" in struck:
        state["lost_bridges"], state["bridges"] = state["bridges"], []
    if "boots-without-storage" in struck:
        lose_storage(world, host, state)
    if "boots-without-xenstored" in struck:
        faults.put(world, faults.HOST, host, DEAD_XENSTORED, None, "")
    cpu = state["cpu"]
    if "boots-with-old-microcode" in struck:
        cpu["microcode"] = OLD_MICROCODE
    elif cpu.get("microcode_after_reboot"):
        cpu["microcode"] = cpu["microcode_after_reboot"]


def lose_storage(world: World, host: str, state: State) -> None:
    """The host sees no disk any more."""
    if "lost_storage" not in state:
        state["lost_storage"], state["storage"] = state["storage"], []
        _rename(world, host, "dev", ".dev-lost")


def mend(world: World, host: str, state: State) -> None:
    """What a boot lost is there again: somebody repaired it."""
    state["bridges"] = state.pop("lost_bridges", state["bridges"])
    if "lost_storage" in state:
        state["storage"] = state.pop("lost_storage")
        _rename(world, host, ".dev-lost", "dev")
    san.mend(world, host, state)


def _rename(world: World, host: str, old: str, new: str) -> None:
    root = f"{world.host_dir(host)}/root"
    if os.path.isdir(f"{root}/{old}"):
        os.rename(f"{root}/{old}", f"{root}/{new}")
