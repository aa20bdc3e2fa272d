"""Why a host cannot be emptied: the guests and the room that is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from planner.arrays import HOLD, Arrays
from planner.plan import Blocked, Reason
from planner.state import State
from planner.unlock_proof import Proofs
from planner.unlock_small import impossible

# What CP-SAT may spend on proofs for all blocked hosts together, in its deterministic seconds.
_PROOF_WORK = 4.0


def blocked_of(state: State, known: Mapping[int, str] | None = None) -> tuple[Blocked, ...]:
    """Every host that should reboot and does not in this sequence, with reasons.

    `known` has reasons that the caller knows already, by host. A proof that no plan empties the
    host comes before what was found to be short at the end of this one.
    """
    arrays, known = state.arrays, known or {}
    hosts = [h for h, reboot in enumerate(arrays.reboot) if reboot and not state.is_open[h]]
    if not hosts:
        return ()
    proofs = Proofs(arrays)
    work = _PROOF_WORK / len(hosts)
    free = [host for host in hosts if host not in known and not state.is_held(host)]
    found = {host: proofs.never(host, work) for host in free}
    found |= _searched(arrays, [host for host in free if not found[host]])
    found |= {host: (Reason(None, text),) for host, text in known.items()}
    return tuple(
        Blocked(arrays.hosts[host].name, found.get(host) or _reasons(state, host)) for host in hosts
    )


def _searched(arrays: Arrays, hosts: Sequence[int]) -> dict[int, tuple[Reason, ...]]:
    text = "no plan: no order of moves and reboots of its pool empties it (all were looked at)"
    return {host: (Reason(None, text),) for host in impossible(arrays, hosts).intersection(hosts)}


def _reasons(state: State, host: int) -> tuple[Reason, ...]:
    arrays = state.arrays
    held = [guest for guest in state.guests_on[host] if arrays.guest_kind[guest] == HOLD]
    if held:
        return tuple(
            Reason(arrays.guests[guest].name, "is to be left alone (evacuation: hold)")
            for guest in held
        )
    alone = [
        Reason(arrays.guests[guest].name, reason)
        for guest in state.movable(host)
        if (reason := _misfit(state, guest)) is not None
    ]
    return tuple(alone) or (_together(state, host),)


def _misfit(state: State, guest: int) -> str | None:
    """Why the guest fits nowhere on its own, or None."""
    arrays = state.arrays
    suits = state.may_take(guest) & ~state.barred
    if not suits.any():
        return "no other host of its pool offers what it needs, at its Xen version or above" + (
            ", without a guest that it has to be apart from" if arrays.guest_apart[guest] else ""
        )
    short_mib = np.maximum(arrays.guest_mib[guest] - state.free_mib, 0)
    short_vcpus = np.maximum(arrays.guest_vcpus[guest] - state.free_vcpus, 0)
    hosts = np.flatnonzero(suits)
    if ((short_mib + short_vcpus)[hosts] == 0).any():
        return None
    # The closest host: the least share of a host short, whichever the resource.
    share = short_mib / _scale(arrays, arrays.take_mib) + short_vcpus / _scale(
        arrays, arrays.limit_vcpus
    )
    host = int(hosts[share[hosts].argmin()])
    return f"fits on no host: {arrays.hosts[host].name} is nearest, {_short(state, guest, host)}"


def _scale(arrays: Arrays, limits: list[int]) -> float:
    return max(1.0, sum(limits) / len(arrays.hosts))


def _short(state: State, guest: int, host: int) -> str:
    mib = state.arrays.guest_mib[guest] - int(state.free_mib[host])
    vcpus = state.arrays.guest_vcpus[guest] - int(state.free_vcpus[host])
    parts = [f"{mib} MiB"] * (mib > 0) + [f"{vcpus} vCPUs"] * (vcpus > 0)
    return " and ".join(parts) + " short"


def _together(state: State, host: int) -> Reason:
    """Each guest fits somewhere; all of them at once do not."""
    arrays, guests = state.arrays, state.movable(host)
    part = arrays.pool_slices[arrays.host_pool[host]]
    others = np.arange(part.start, part.stop) != host
    others &= ~state.barred[part]
    free_mib = int(np.maximum(state.free_mib[part], 0)[others].sum())
    free_vcpus = int(np.maximum(state.free_vcpus[part], 0)[others].sum())
    need_mib = sum(arrays.guest_mib[guest] for guest in guests)
    need_vcpus = sum(arrays.guest_vcpus[guest] for guest in guests)
    return Reason(
        None,
        f"its {len(guests)} guests ({need_mib} MiB, {need_vcpus} vCPUs) do not fit together into "
        f"the holes of the pool's other hosts ({free_mib} MiB, {free_vcpus} vCPUs in all)",
    )
