"""The wire between the hosts, and their way to Redis: one process, which can cut and delay both.

The wire is an Ethernet hub for QEMU's "dgram" netdevs: a datagram from one host's port is one
frame, repeated to the ports of the others. The way to Redis is a TCP relay per host. A cut is
silent, as a broken switch is: nothing is closed, nothing is refused, bytes just do not arrive.

Orders come as one JSON line over a UNIX socket, the answer is one JSON line:
{"do": "cut" | "heal", "host": 1} · {"do": "delay", "host": 1, "ms": 50} ·
{"do": "status"}
"""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from deploy.lab.layout import Host, Layout, layout_from

RECEIVE_BUFFER_BYTES = 4 << 20
CHUNK_BYTES = 65536
LOOPBACK = "127.0.0.1"


@dataclass
class Port:
    """One host's plug: `open` is cleared while the host is cut off."""

    host: Host
    open: asyncio.Event = field(default_factory=asyncio.Event)
    delay_ms: int = 0

    def __post_init__(self) -> None:
        self.open.set()


class Wire(asyncio.DatagramProtocol):
    """Repeats each frame to every other host that is not cut off."""

    def __init__(self, ports: list[Port]) -> None:
        self._by_port = {port.host.wire_port: port for port in ports}
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Python 3.11's own datagram transport is no subclass of what it implements.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        sender = self._by_port.get(addr[1])
        if sender is None or not sender.open.is_set():
            return
        for port in self._by_port.values():
            if port is not sender and port.open.is_set():
                self._later(sender, port, data)

    def _later(self, sender: Port, port: Port, data: bytes) -> None:
        delay_ms = sender.delay_ms + port.delay_ms
        if delay_ms == 0:
            self.send(data, port.host.wire_port)
        else:
            loop = asyncio.get_running_loop()
            loop.call_later(delay_ms / 1000, self._arrive, sender, port, data)

    def _arrive(self, sender: Port, port: Port, data: bytes) -> None:
        """A cut loses what was under way."""
        if sender.open.is_set() and port.open.is_set():
            self.send(data, port.host.wire_port)

    def send(self, data: bytes, number: int) -> None:
        """Puts one frame on the cable to the host whose port this is."""
        if self._transport is not None:
            self._transport.sendto(data, (LOOPBACK, number))

    def error_received(self, exc: Exception) -> None:
        """A host that is switched off refuses its frames: a real wire does not care either."""


class Hub:
    """All ports, and what can be ordered."""

    def __init__(self, layout: Layout, redis_port: int) -> None:
        self.ports = [Port(host) for host in layout.hosts]
        self.redis_port = redis_port
        self._tasks: set[asyncio.Task[None]] = set()

    def _port(self, order: dict[str, Any]) -> Port:
        return next(port for port in self.ports if port.host.number == order["host"])

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Carries out one order; KeyError or StopIteration where it is none."""
        match order["do"]:
            case "cut":
                self._port(order).open.clear()
            case "heal":
                self._port(order).open.set()
            case "delay":
                self._port(order).delay_ms = int(order["ms"])
            case "status":
                pass
            case other:
                raise KeyError(other)
        return self.status()

    def status(self) -> dict[str, Any]:
        ports = {
            port.host.name: {"cut": not port.open.is_set(), "delay_ms": port.delay_ms}
            for port in self.ports
        }
        return {"ports": ports, "redis_port": self.redis_port}

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One order of the control socket."""
        try:
            reply = self.obey(json.loads(await reader.readline()))
        except (KeyError, StopIteration, ValueError) as problem:
            reply = {"error": f"not an order: {problem!r}"}
        writer.write(json.dumps(reply).encode() + b"\n")
        await writer.drain()
        writer.close()

    async def relay(
        self, port: Port, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """One connection of a host to Redis."""
        await port.open.wait()
        try:
            there = await asyncio.open_connection(LOOPBACK, self.redis_port)
        except OSError:
            writer.close()  # as a refused connection looks to a client behind a forwarder
            return
        self._keep(pump(port, reader, there[1]))
        await pump(port, there[0], writer)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def pump(port: Port, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carries bytes one way until either end is closed; holds them while the host is cut off."""
    try:
        while data := await reader.read(CHUNK_BYTES):
            await _pass(port)
            writer.write(data)
            await writer.drain()
        await port.open.wait()
    except OSError:
        await port.open.wait()  # even a reset is not heard through a cut wire
    writer.close()


async def _pass(port: Port) -> None:
    await port.open.wait()
    if port.delay_ms:
        await asyncio.sleep(port.delay_ms / 1000)


async def serve(layout: Layout, redis_port: int) -> None:
    """Runs until SIGTERM."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    hub = Hub(layout, redis_port)
    transport, _ = await loop.create_datagram_endpoint(
        lambda: Wire(hub.ports), local_addr=(LOOPBACK, layout.hub_port)
    )
    plug = transport.get_extra_info("socket")
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    for port in hub.ports:
        await asyncio.start_server(partial(hub.relay, port), LOOPBACK, port.host.relay_port)
    layout.hub_socket.unlink(missing_ok=True)
    await asyncio.start_unix_server(hub.answer, layout.hub_socket)
    await stop.wait()


if __name__ == "__main__":
    import os

    asyncio.run(serve(layout_from(os.environ), int(sys.argv[1])))
