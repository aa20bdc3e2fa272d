"""How a migration ends that left its guest at S: what `xl` says of it, and what to try next."""

from __future__ import annotations

from datetime import timedelta

from tests.agents_kit import (
    DYING,
    NOON,
    PAUSED,
    RUNS,
    SHUT_DOWN,
    domain,
    recorded,
)
from tests.settle_kit import (
    AT_S,
    DESTROY_INCOMING,
    EXIT_A,
    EXIT_B,
    GUEST,
    INCOMING_AT_T,
    LATER,
    NEVER,
    OTHER,
    PERSON,
    RECEIVES,
    SAME,
    STAYED,
    STRANGER_AT_T,
    UNKNOWN,
    Row,
    stays,
)

WORDS = [
    stays("the domain was gone when xl began", LATER, "5 is an invalid domain identifier (rc=-6)"),
    stays("its configuration could not be read", SAME, "unable to retrieve domain configuration"),
    stays(
        "no configuration is stored", PERSON, "No config file stored for running domain and none"
    ),
    stays("the name of T is unknown", SAME, recorded("migrate-fail-unresolvable.err")),
    stays("T refuses the connection", SAME, recorded("migrate-fail-ssh-refused.err")),
    stays("T cannot be reached", SAME, recorded("migrate-fail-unreachable.err")),
    stays(
        "T's shell chatters",
        PERSON,
        "migration receiver stream contained unexpected data instead of banner",
    ),
    stays("T has an old incoming copy", OTHER, 'Domain with name "db-3--incoming" already exists.'),
    stays("T lacks the CPU pool", OTHER, "Illegal pool specified: fast"),
    stays("T cannot free memory early", OTHER, "failed to free memory for the domain"),
    stays("T lacks a disk", OTHER, "Disk vdev=xvda failed to stat: /dev/x: No such file"),
    stays(
        "T cannot place its CPUs", OTHER, "Hard affinity completely outside of domain's cpupool!"
    ),
    stays("T cannot make a domain", OTHER, "libxl__domain_make: cannot make domain: -3"),
    stays("T is an older xl", OTHER, "Savefile has mandatory flag(s) 0x2 which are not supported"),
    stays("it has virtual NUMA", NEVER, "Cannot save a guest with vNUMA configured\n" + EXIT_B),
    stays("a PV guest without shadow paging", NEVER, recorded("migrate-fail-pv-no-logdirty.err")),
    stays("log-dirty lacks memory at S", LATER, "Failed to enable logdirty: 12,0,0 (12 = "),
    stays("log-dirty is refused for a device", NEVER, "Failed to enable logdirty: 22,22,0 (22 ="),
    stays("QEMU's log-dirty hangs", SAME, "logdirty switch: wait for device model timed out"),
    stays("its p2m changed", LATER, "p2m generation count changed. Migration aborted."),
    stays("its page tables cannot move", NEVER, "Cannot migrate superpage (PTE 0x1"),
    stays("the network broke in pre-copy", SAME, recorded("migrate-fail-kill-ssh.err")),
    stays("T died in pre-copy", SAME, recorded("migrate-fail-dest-dies-serveralive.err")),
    stays("it does not answer the suspend", NEVER, recorded("migrate-fail-paused.err")),
    stays("QEMU would not save", SAME, "failed to suspend device model, rc=-3\n" + EXIT_B),
    stays("T has too little memory", OTHER, recorded("migrate-fail-nomem.err")),
    stays("T's CPU is poorer", OTHER, recorded("migrate-fail-cpu-policy-C-to-B.err")),
    stays("T's CPUID policy differs", OTHER, "Failed to set CPUID policy: leaf 00000007"),
    stays("T cannot add its disks", OTHER, "Domain 9:unable to add disk devices"),
    stays("T cannot add its NICs", OTHER, "Domain 9:unable to add nic devices"),
    stays("T's QEMU does not start", OTHER, "device model did not start: -3"),
    stays(
        "T's log folder is full", OTHER, "failed to open logfile /var/log/xen/xl-db.log: No space"
    ),
    stays("its name is taken at T", OTHER, recorded("migrate-fail-nameclash.err")),
    stays("S has an old copy", PERSON, 'Domain with name "db-3--migratedaway" already exists.'),
    stays("T could not start it", OTHER, "Target reports startup failure (status code 3)."),
    stays("xl was killed in pre-copy", LATER, recorded("migrate-fail-kill-xl.err")[:200], code=-9),
    stays("its exit code was lost", LATER, "Saving to migration stream", code=None),
    stays("xl said nothing at all", LATER, ""),
]

FAILED = [
    Row("it is still paused at S", STAYED, PERSON, (domain(GUEST, PAUSED, 60.0, 5),), (), EXIT_A),
    Row(
        "another guest of its name is at T",
        STAYED,
        OTHER,
        (AT_S,),
        (STRANGER_AT_T,),
        "Migration failed due to problems at target.",
    ),
    Row("it restarted at S meanwhile", STAYED, LATER, (domain(GUEST, RUNS, 1.0, 8),), (), EXIT_B),
    Row("its owner shut it down", STAYED, LATER, (domain(GUEST, SHUT_DOWN, 60.0, 5),), (), EXIT_B),
    Row("success was said, but it is only at S", STAYED, PERSON, (AT_S,), (), "", 0),
    Row(
        "T holds a dying copy",
        STAYED,
        SAME,
        (AT_S,),
        (domain("(null)", DYING, 0.0, 9),),
        EXIT_B + "Failed to write page data to stream",
    ),
    Row(
        "T was cut off and keeps a copy that never ran",
        STAYED,
        SAME,
        (AT_S,),
        (INCOMING_AT_T,),
        "Failed to write page data to stream\n" + EXIT_B,
        mends=DESTROY_INCOMING,
    ),
    Row(
        "T's receiver still lives beside its copy",
        UNKNOWN,
        LATER,
        (AT_S,),
        (INCOMING_AT_T,),
        EXIT_B,
        destination=RECEIVES,
    ),
    Row(
        "it took the request and may suspend late",
        UNKNOWN,
        LATER,
        (AT_S,),
        (),
        "guest did not suspend, timed out\n" + EXIT_A,
        source={"taken_at": NOON + timedelta(seconds=119)},
    ),
    Row(
        "it took the request and did not suspend",
        STAYED,
        NEVER,
        (AT_S,),
        (),
        "guest did not suspend, timed out\n" + EXIT_A,
        source={"taken_at": NOON + timedelta(seconds=120)},
    ),
]
