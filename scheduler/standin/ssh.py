"""`ssh` between simulated hosts: runs a command in the environment of another host.

Bytes go through this process, so that its death, a dead link and a dead peer have the effects they
have in life: a peer that loses its power is never noticed unless ServerAlive options are set; a
cut link stops the flow and loses nothing if it heals in time.
"""

from __future__ import annotations

import os
import select
import sys

from scheduler.standin import faults
from scheduler.standin.dom0 import Dom0, complain, on_sigterm, register_process, run
from scheduler.standin.ssh_options import Options
from scheduler.standin.store import World, read_state, write_all
from scheduler.standin.stream import drained

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

FAILED = 255
TCP_GIVES_UP_S = 127.0
NO_ARP_ANSWER_S = 3.0
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def main(world_dir: str, host: str) -> NoReturn:
    run(lambda: _ssh(Dom0(world_dir, host), Options(sys.argv[1:])))


def _ssh(dom0: Dom0, options: Options) -> int:
    world = dom0.world
    dom0.register()
    peer = world.find_host(options.host)
    if peer is None:
        world.sleep(0.5)
        reason = "Temporary failure in name resolution"
        complain(f"ssh: Could not resolve hostname {options.host.lower()}: {reason}\r\n")
        return FAILED
    refusal = _refusal(world, dom0.host, peer, options)
    if refusal:
        complain(refusal)
        return FAILED
    world.sleep(world.settings["ssh_connect_s"])
    chatter = faults.take(world, faults.HOST, peer, "chatter")
    if chatter is not None:
        write_all(1, (chatter or f"Welcome to {peer}!\n").encode())
    return Session(dom0, peer, options).carry()


def _refusal(world: World, host: str, peer: str, options: Options) -> str | None:
    """Why no connection comes about, as ssh says it; takes the time that it takes."""
    name = options.host.lower()
    connect = f"ssh: connect to host {name} port {options.port_asked}: "
    limit_s = options.seconds("ConnectTimeout") or TCP_GIVES_UP_S
    if cut(world, host) or (peer != host and cut(world, peer)):
        world.sleep(limit_s)
        return f"{connect}Connection timed out\r\n"
    if read_state(world, peer)["power"] != "on" or _struck(world, peer, "ssh-unreachable"):
        world.sleep(min(limit_s, NO_ARP_ANSWER_S))
        why = "No route to host" if limit_s >= NO_ARP_ANSWER_S else "Connection timed out"
        return f"{connect}{why}\r\n"
    if options.port_asked != "22" or _struck(world, peer, "ssh-refused"):
        return f"{connect}Connection refused\r\n"
    if _struck(world, peer, "ssh-hostkey"):
        return "Host key verification failed.\r\n"
    if _struck(world, peer, "ssh-auth"):
        return f"{options.user}@{name}: Permission denied (publickey,password).\r\n"
    return None


def _struck(world: World, host: str, fault: str) -> bool:
    return faults.take(world, faults.HOST, host, fault) is not None


def cut(world: World, host: str) -> bool:
    """Whether the host is off the network (`net-cut`): packets vanish, nobody is told."""
    return faults.armed(world, faults.HOST, host, "net-cut") is not None


class Session:
    """One connection with one remote command."""

    def __init__(self, dom0: Dom0, peer: str, options: Options) -> None:
        self.world, self.host, self.peer, self.options = dom0.world, dom0.host, peer, options
        self.peer_generation = read_state(dom0.world, peer)["generation"]
        self.dead_since: float | None = None
        self._start_remote()

    def _start_remote(self) -> None:
        from_here, self.to_remote = os.pipe()
        self.remote_out, out = os.pipe()
        self.remote_err, err = os.pipe()
        self.remote = os.fork()
        if self.remote == 0:
            os.setsid()
            for ours, theirs in ((from_here, 0), (out, 1), (err, 2)):
                os.dup2(ours, theirs)
            _exec_remote(self.world, self.peer, self.options.command)
        for descriptor in (from_here, out, err):
            os.close(descriptor)
        register_process(self.world, self.peer, self.remote)

    def carry(self) -> int:
        """Pump until the remote command ends or the connection is given up; ssh's exit code."""
        on_sigterm(lambda *_: os._exit(FAILED))
        flows = {self.remote_err: 2, self.remote_out: 1, 0: self.to_remote}
        while flows.keys() - {0}:
            if self._link_is_dead():
                if self._server_alive_gives_up():
                    return FAILED
                self._rest()
                continue
            for descriptor in self._ready(flows):
                if not self._forward(descriptor, flows):
                    break
        return self._end()

    def _rest(self) -> None:
        import time

        time.sleep(0.01)

    def _ready(self, flows: dict[int, int]) -> list[int]:
        """Descriptors to read from: messages before data, so that a text precedes its effect.

        What the peer has not read yet holds the flow up, so that no end runs ahead of the other.
        """
        poll = select.poll()
        waiting = 0 in flows and not drained(self.to_remote)
        for descriptor in flows:
            if descriptor or not waiting:
                poll.register(descriptor, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(2 if waiting else 50)}
        return [d for d in (self.remote_err, self.remote_out, 0) if d in ready]

    def _forward(self, descriptor: int, flows: dict[int, int]) -> bool:
        """Carry one piece; False if the link turned out to be dead instead of closed."""
        data = os.read(descriptor, 65536)
        if data:
            try:
                write_all(flows[descriptor], data)
            except BrokenPipeError:
                # Who listened here is gone; the peer does not learn it from us.
                if descriptor == 0:
                    del flows[0]
                else:
                    flows[descriptor] = os.open("/dev/null", os.O_WRONLY)
            return True
        if descriptor != 0 and self._peer_is_gone():
            return False
        del flows[descriptor]
        if descriptor == 0:
            os.close(self.to_remote)
        return True

    def _peer_is_gone(self) -> bool:
        """The remote command vanished with its host's power: nobody tells this end."""
        state = read_state(self.world, self.peer)
        if state["power"] == "on" and state["generation"] == self.peer_generation:
            return False
        if state["power"] == "rebooting" and state["generation"] == self.peer_generation:
            return False
        self.dead_since = self.world.now()
        return True

    def _link_is_dead(self) -> bool:
        if self.dead_since is not None and self._peer_is_gone_for_good():
            return True
        if cut(self.world, self.host) or cut(self.world, self.peer):
            self.dead_since = self.dead_since or self.world.now()
            return True
        self.dead_since = None
        return False

    def _peer_is_gone_for_good(self) -> bool:
        state = read_state(self.world, self.peer)
        return bool(state["power"] == "off" or state["generation"] != self.peer_generation)

    def _server_alive_gives_up(self) -> bool:
        count = self.options.seconds("ServerAliveCountMax") or 3
        limit_s = self.options.seconds("ServerAliveInterval") * count
        if not limit_s or self.world.now() - (self.dead_since or 0.0) < limit_s:
            return False
        if self.options.informs():
            complain(f"Timeout, server {self.options.host} not responding.\r\n")
        self._leave_remote_end_alone()
        return True

    def _leave_remote_end_alone(self) -> None:
        """The other end does not know: a process stands in for its sshd until the link heals."""
        if os.fork():
            return
        os.setsid()
        null = os.open("/dev/null", os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        register_process(self.world, self.peer, os.getpid())
        since, limit_s = self.world.now(), self.world.settings["client_alive_s"]
        while self._link_is_dead() and not self._peer_is_gone_for_good():
            if limit_s and self.world.now() - since > limit_s:
                break
            self._rest()
        os._exit(0)

    def _end(self) -> int:
        _, status = os.waitpid(self.remote, 0)
        if read_state(self.world, self.peer)["power"] == "rebooting":
            if self.options.informs():
                complain(f"Connection to {self.options.host} closed by remote host.\r\n")
            return FAILED
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else FAILED


def _exec_remote(world: World, peer: str, command: str) -> NoReturn:
    """Become the remote shell: the peer's programs come first on its PATH."""
    os.closerange(3, 256)
    bin_dir = f"{world.host_dir(peer)}/bin"
    environment = {"PATH": f"{bin_dir}:{SYSTEM_PATH}", "HOME": "/root", "USER": "root"}
    first = command.split(" ")[0]
    missing = first in ("xl", "xen-livepatch") and not os.path.exists(f"{bin_dir}/{first}")
    if missing or (first == "xl" and _struck(world, peer, "remote-xl-missing")):
        complain(f"bash: line 1: {first}: command not found\n")
        os._exit(127)
    simple = all(c.isalnum() or c in " -_./=" for c in command)
    shell = ["sh", "-c", f"exec {command}" if simple and command else command]
    os.execve("/bin/sh", shell, environment)
