"""Recordings of a guest's monitor: the `xl` process that obeys on_crash, on_reboot and shutdowns.

It is found by what its standard error goes to; nothing else in dom0 ties it to its domain.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from deploy.lab.guests import Guest, config, order
from deploy.lab.scene import DESTINATION, RECEIVER, SOURCE, Scene

MONITORS = (
    'for p in $(pgrep -x xl); do echo "process $p: $(tr "\\0" " " < /proc/$p/cmdline)'
    '-> $(readlink /proc/$p/fd/2)"; cat /proc/$p/fd/2; done; '
    'echo "logs:"; tail -n 4 /var/log/xen/xl-*.log || true'
)


def look_at_monitors(scene: Scene, when: str, hosts: Sequence[str]) -> None:
    """`xl list`, every monitor with its command and its log, and all logs, of these hosts, now."""
    scene.look(when, hosts)
    for host in hosts:
        scene.seen.append(f"# {host}: monitors\n{scene.lab.remote(host).check(MONITORS)}")


def monitor_killed(scene: Scene, folder: Path) -> None:
    """An arrived guest runs on without its monitor; when it crashes nobody takes it away."""
    look_at_monitors(scene, "made by xl create", [SOURCE])
    scene.begin()
    scene.finish(folder)
    look_at_monitors(scene, "arrived", [SOURCE, DESTINATION])
    scene.signal(DESTINATION, "KILL", RECEIVER)
    time.sleep(10)
    look_at_monitors(scene, "10 s after its monitor was killed", [DESTINATION])
    order(scene.destination, scene.guest.name, "crash")
    time.sleep(30)
    look_at_monitors(scene, "30 s after its crash, with on_crash=destroy", [DESTINATION])


def resumed_without_monitor(scene: Scene, folder: Path) -> None:
    """A failed move that had come to the suspend: the source's monitor took that for the end."""
    name = scene.guest.name
    other = config(Guest(f"{name}-other", 99)).replace(f'name="{name}-other"', f'name="{name}"')
    scene.destination.check("cat > /srv/guests/other.cfg", stdin=other)
    scene.destination.check("xl create /srv/guests/other.cfg", timeout_s=300)
    scene.begin()
    scene.finish(folder)
    look_at_monitors(scene, "after", [SOURCE, DESTINATION])
    scene.source.check(f"xl shutdown {name}")
    time.sleep(60)
    look_at_monitors(scene, "60 s after xl shutdown at the source", [SOURCE])
