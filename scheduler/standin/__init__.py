"""A stand-in for the programs of a Xen dom0: `xl`, `ssh`, `xen-livepatch`, `xenstore-*`, `reboot`.

For demos, game days and tests: a whole fleet in one folder, on one machine, without Xen and without
root.  Programs print what `xl` 4.17 prints, to the letter, go through the same protocol over real
pipes between real processes, take time, and fail on demand in every way that is known of the real
ones.  Whoever calls them by their names on PATH cannot tell the difference.  Standard library only.

Build a world
=============

    from scheduler.standin.world import GuestSpec, HostSpec, create_world
    world = create_world(
        "world",
        [HostSpec("n1", memory_mib=16384), HostSpec("n2", memory_mib=16384)],
        [GuestSpec("web", "n1", memory_mib=2048, vcpus=2)],
        speed=60.0,                      # simulated seconds in a real one
    )

or from a fleet document: `scheduler.standin.fleet.world_from_fleet("world", document, speed=60.0)`.
Durations and rates are settings of the world (`scheduler.standin.world.SETTINGS`).  Then

    world/hosts/n1/bin/      the programs of n1: put it first on PATH (`install` writes more such)
    world/hosts/n1/root/     n1's `/`: /etc/xen/NAME.cfg, /etc/xen/auto, /var/lib/xen/save,
                             /sys/class/net/BRIDGE, /proc/sys/kernel/random/boot_id, /proc/uptime
    world/hosts/n1/state.json   the hypervisor's state; only ever replaced as a whole
    world/ledger.jsonl       what happened, line by line

Nothing runs in the background: what is due by the clock happens when somebody looks.  Any process
may be killed at any moment with any signal; what it leaves is what Xen would leave.

Power and boots
===============

`reboot` or `systemctl reboot` takes a host down (its state says `"power": "rebooting"`).  Whoever
plays the machine ends that host's processes and later calls `boot.finish_reboot(world, host)`: new
boot id, the pending build (`xen_after_reboot`), live patches gone, no guests.  But xendomains
starts what has a link in /etc/xen/auto and restores what lies in /var/lib/xen/save, wherever else
those guests may run, unless it is masked (`systemctl mask xendomains` or the link to /dev/null).
`boot.power_off(world, host)` takes the power away at once, and ends the stand-in's own processes of
that host; a peer's ssh does not notice unless its ServerAlive options make it.

Inject faults
=============

    from scheduler.standin.fault_table import clear, inject
    inject(world, "web", "ignores-suspend", count=2)   # None: every time, until cleared
    inject(world, "n2", "net-cut")                      # until clear(world, "n2")

or `python -m scheduler.standin inject WORLD web ignores-suspend --count 2`;
`python -m scheduler.standin faults` lists them all with their row in the table of failures.
`hold-POINT` makes a migration wait at a point of its protocol (`faults.held` tells who waits), for
tests that kill somebody exactly there.

Judge from outside
==================

`ledger.audit(world)` says what must never happen and did (a guest running twice, lost, destroyed
while it ran, migrated twice at a time; memory overcommitted).  `ledger.running(world)` and
`ledger.copies(world)` say where guests are, `ledger.events(world)` what led there.  The same from
the command line: `python -m scheduler.standin audit|show WORLD`.

What it does not do
===================

There is no monitor process per guest (what it would do is done when due, and its log and its place
in the `/proc` of the host's root are there), no QEMU, no xenstored, no
restore helper at the destination.  `xl restore`, `save`, `mem-set`, device hotplug and others that
no drain needs are unknown commands.  A live patch's payload is a text file (`livepatch`).  Killing
the ssh of a migration while its link is cut is noticed by the destination at once.
`/proc/uptime` in a host's root is as old as the last `xl info`.  Figures that libxl takes from its
source (file names and line numbers in messages) are exact where they were recorded, and near
otherwise: match the texts behind them.
"""
