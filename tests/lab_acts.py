"""What somebody does to a move of `tests/lab_failures.py`, or to mend what came of it."""

import time

from deploy.lab.guests import Guest, config, config_path, order
from deploy.lab.scene import DESTINATION, RECEIVER, SENDER, SOURCE
from tests.lab_play import Play

SSH = r"ssh -o BatchMode.*migrate-receive"
# Brackets keep the shell that asks from finding itself.
AGENT = "bin/[x]enroll-agent run"
MIGRATES = "bin/[x]l migrate -s"
SLOW_MS = 3000
XL_TIMEOUT_S = 240.0
"""The transport's own limits end an `xl migrate` whose other end is gone after some 30 s."""


def fill_memory(one: Play) -> None:
    """A guest that takes nearly all that is free at the destination; it never runs."""
    free_mib = int(one.scene.destination.check("xl info free_memory"))
    filler = Guest("filler", 99, memory_mib=free_mib - 24)
    path = config_path("filler")
    one.scene.destination.check(f"cat > {path}", stdin=config(filler))
    one.scene.destination.check(f"xl create -p {path}", timeout_s=300)
    left = one.scene.destination.check("xl info free_memory").strip()
    one.note(f"{DESTINATION} had {free_mib} MiB free, now {left}")


def take_its_name(one: Play) -> None:
    """Another guest of the same name starts at the destination."""
    name = one.guest.name
    other = f"{name}-other"
    text = config(Guest(other, 8)).replace(f'name="{other}"', f'name="{name}"')
    one.scene.destination.check(f"cat > {config_path(name)}", stdin=text)
    one.scene.destination.check(f"xl create {config_path(name)}", timeout_s=300)


def crash_on_arrival(one: Play) -> None:
    """The guest arrives and crashes before the destination's agent has looked again."""
    there, name = one.scene.destination, one.guest.name
    pids = there.check(f"pgrep -f '{AGENT}'").replace("\n", " ")
    armed = one.scene.arm(SOURCE, "renamed")
    there.check(f"kill -STOP {pids}")
    one.note(f"the agent of {DESTINATION} is slow to look")
    one.scene.strike(armed, SOURCE, "renamed")
    while there.run(f"xl domid {name}").code != 0:
        time.sleep(1)
    order(there, name, "crash")
    while there.run(f"xl domid {name}").code == 0:
        time.sleep(1)
    one.note("it crashed, and on_crash=destroy took its domain away")
    there.check(f"kill -CONT {pids}")


def lose_its_monitor(one: Play) -> None:
    """The `xl` that waits for the end of a guest that has arrived is killed; we hear of it."""
    one.scene.disturb(DESTINATION, "incoming")
    one.stage.obey("rollout", "pause", "--reason", "no reboot while we look")
    one.outcome("moved")
    one.scene.signal(DESTINATION, "KILL", RECEIVER)
    one.heard("unmonitored")
    shown = one.stage.obey("guest", "show", one.guest.name)
    assert "without xl's monitor" in shown
    one.note(shown.splitlines()[-1])
    one.alive_on(DESTINATION)


def wake(one: Play, name: str) -> None:
    """What a person does, by the hypervisor's own call: Xen 4.17 has no `xl resume`."""
    domid = one.scene.source.check(f"xl domid {name}").strip()
    if name != one.guest.name:
        one.scene.source.check(f"xl rename {domid} {one.guest.name}")
    one.scene.source.check(f"python3 /usr/lib/lab/resume.py {domid}")
    one.note(f"a person woke domain {domid}, {name}, at the source")


def slow_handshake(one: Play) -> None:
    """Returns when the source has renamed its copy, and its permission to start is on the way."""
    one.scene.disturb(SOURCE, "suspended", f"STOP:{SENDER}")
    one.scene.lab.delay(DESTINATION, SLOW_MS)
    armed = one.scene.arm(SOURCE, "renamed")
    one.scene.signal(SOURCE, "CONT", SENDER)
    one.scene.strike(armed, SOURCE, "renamed")


def until_xl_has_ended(one: Play) -> float:
    """Seconds until no `xl migrate` runs at the source any more; it must not hang."""
    began_s = time.monotonic()
    while one.scene.source.run(f"pgrep -f '{MIGRATES}'").code == 0:
        assert time.monotonic() - began_s < XL_TIMEOUT_S, "xl hangs"
        time.sleep(1)
    return time.monotonic() - began_s
