"""Putting a host's enrolment into its dom0: `xenroll host enroll`'s files, and what is so here."""

from pathlib import Path

from deploy.lab.errors import LabError
from deploy.lab.layout import REDIS_ADDRESS, REDIS_PORT, SHARED_DISKS
from deploy.lab.remote import Remote

FOLDER = "/etc/xenroll"
SERVER = f"redis://{REDIS_ADDRESS}:{REDIS_PORT}/0"
"""The server as a dom0 sees it."""

SETTINGS = """\
# The lab: dom0's init is busybox, and everything takes many times as long under emulation.
reboot_command = ["/sbin/reboot"]
xl_timeout_s = 120
start_limit_s = 180
report_interval_s = 10
config_age_s = 600
poll_s = 2
workers = 2
config_dirs = ["/srv/guests"]
transport = "ssh -o BatchMode=yes -o ConnectTimeout=90 -o ServerAliveInterval=10 \
-o ServerAliveCountMax=9 -o ControlMaster=no -o ControlPath=none"
"""


def settings() -> str:
    """What every agent of the lab is told beside its host and server."""
    disks = "".join(
        f'    {{ prefix = "/dev/vd{letter}", tag = "storage:shared-{number}" }},\n'
        for number, letter in enumerate("bcdefgh"[:SHARED_DISKS], 1)
    )
    return f"{SETTINGS}storage = [\n{disks}]\n"


def enroll(remote: Remote, folder: Path) -> None:
    """Puts the files of `xenroll host enroll --output FOLDER` into dom0; its agent then starts."""
    texts = {}
    for name in ("agent.toml", "redis-password"):
        try:
            texts[name] = (folder / name).read_text()
        except OSError as problem:
            raise LabError(f"{folder / name}: {problem.strerror}") from problem
    if f"@{REDIS_ADDRESS}:" not in texts["agent.toml"]:
        raise LabError(f"{folder}/agent.toml: hosts reach the server at {SERVER} (--server)")
    texts["agent.toml"] += settings()
    # The settings last: the agent's service waits for them.
    for name in ("redis-password", "agent.toml"):
        place = f"{FOLDER}/{name}"
        command = f"umask 077 && cat > {place}.new && mv {place}.new {place} && sync"
        remote.check(command, stdin=texts[name])
