"""What `xl migrate` said, as a hint to whether trying again can help. Pure.

Texts are matched as Xen 4.14 to 4.22 print them (`xl_migrate.c`, libxl, libxc). A hint never says
how an attempt ended: only looking at both hosts does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from agents.verdict import Retry


@dataclass(frozen=True)
class Hint:
    """A cause in words, and what may be tried next."""

    retry: Retry
    cause: str


NEVER, PERSON, SAME = Retry.NEVER, Retry.PERSON, Retry.SAME
OTHER, LATER = Retry.OTHER_DESTINATION, Retry.LATER

HINTS: tuple[tuple[str, Retry, str], ...] = (
    # What the guest is
    (r"guest didn't acknowledge suspend", NEVER, "the guest did not answer the suspend request"),
    (r"guest did not suspend, timed out", NEVER, "the guest took the request but did not suspend"),
    (r"Cannot save a guest with vNUMA", NEVER, "the guest has virtual NUMA nodes"),
    (r"Cannot migrate superpage|Bad mfn |PTE truncation", NEVER, "the guest's memory layout"),
    (r"Cannot enable PoD and|superpages? .*not supported", NEVER, "the guest's memory layout"),
    (r"p2m generation count changed", LATER, "the guest's memory size changed on the way"),
    (r"guest we were suspending has been destroyed", LATER, "the guest ended on its own"),
    # The destination would not have it
    (
        r"Failed to populate p|Populate physmap failed|failed to free memory for the domain",
        OTHER,
        "not enough memory at the destination",
    ),
    (
        r"Failed to set CPUID policy|Unable to restore HVM context",
        OTHER,
        "the destination's CPU or hypervisor cannot take the guest's state",
    ),
    (r'name "[^"]*--migratedaway" already exists', PERSON, "an old copy is left at the source"),
    (r'name "[^"]*--incoming" already exists', OTHER, "an old copy is left at the destination"),
    (
        r"already exists|Target reports startup failure \(status code 6\)",
        OTHER,
        "its name is taken at the destination",
    ),
    (r"Illegal pool specified|cpupool|affinity", OTHER, "its CPU pool or pinning does not fit"),
    (r"failed to stat: ", OTHER, "one of its disks is not at the destination"),
    (
        r"unable to add \w+ devices|device model did not start|script: ",
        OTHER,
        "its disks, bridges or device model failed at the destination",
    ),
    (
        r"failed to open logfile|domain monitoring daemonizing",
        OTHER,
        "the destination could not start the guest's monitor",
    ),
    (
        r"cannot make domain|domain creation fail|domain id recently used|not supported on this "
        r"platform|Savefile has mandatory flag|Invalid Version",
        OTHER,
        "the destination refused to create it",
    ),
    # The way there
    (
        r"contained unexpected data instead of banner",
        PERSON,
        "the destination's shell prints text before `xl migrate-receive`",
    ),
    (r"truncated reading banner", SAME, "the connection to the destination failed"),
    # The source
    (r"is an invalid domain identifier", LATER, "the guest was gone when the command began"),
    (r"No config file stored for running domain", PERSON, "no configuration is stored for it"),
    (
        r"Fail to get domain configuration|unable to retrieve domain configuration",
        SAME,
        "its configuration could not be read, perhaps a stuck device model",
    ),
    (r"logdirty switch|qemu log-dirty", SAME, "its device model would not track writes"),
    (r"failed to suspend device model", SAME, "its device model would not save its state"),
    (r"Target reports startup failure", OTHER, "the destination could not start it"),
    (
        r"reading ready message from migration receiver",
        OTHER,
        "the destination failed after the transfer",
    ),
    (
        r"Failed to write page data|Broken pipe|did not respond to suspend request|libxl_domain_su",
        SAME,
        "the connection broke while memory was copied",
    ),
)
"""Pattern, what next, cause; the first that matches counts, so causes stand before effects."""

LOGDIRTY = re.compile(r"Failed to enable logdirty: (-?\d+),(-?\d+),(-?\d+)")
ENOMEM = 12


def hint(exit_code: int | None, output: str) -> Hint:
    """The likely cause of a failed move. `output` is the end of the command's stderr."""
    logdirty = LOGDIRTY.search(output)
    if logdirty:
        if ENOMEM in (abs(int(code)) for code in logdirty.groups()):
            return Hint(LATER, "the source has too little free memory to track the guest's writes")
        return Hint(NEVER, "the hypervisor cannot track this guest's writes")
    for pattern, retry, cause in HINTS:
        if re.search(pattern, output):
            return Hint(retry, cause)
    if exit_code is None:
        return Hint(LATER, "its exit code was lost")
    if exit_code < 0:
        return Hint(LATER, f"xl was killed by signal {-exit_code}")
    return Hint(LATER, f"xl ended with exit code {exit_code}")
