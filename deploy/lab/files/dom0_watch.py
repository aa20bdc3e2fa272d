"""What runs here, for an observer outside: one JSON line for each line read on stdin.

Runs in dom0 for as long as the observer's ssh connection lives. It reads the hypervisor and
xenstore directly and starts no process, so it neither asks the product under test nor slows it.

A line: {"boot": dom0's boot id, "domains": [{"domid", "uuid", "name", "paused", "shutdown",
"reason", "dying", "cpu_ns", "mem_kib", "beat"}]}; name and beat are null where xenstore has none.
"""

import json
import sys
import uuid
from typing import Any

sys.path.insert(0, "/usr/lib/xen-4.17/lib/python")

from xen.lowlevel import xc, xs  # type: ignore[import-not-found]


def domain(info: dict[str, Any], store: Any) -> dict[str, Any]:
    home = f"/local/domain/{info['domid']}"
    return {
        "domid": info["domid"],
        "uuid": str(uuid.UUID(bytes=bytes(info["handle"]))),
        "name": text(store, f"{home}/name"),
        "paused": bool(info["paused"]),
        "shutdown": bool(info["shutdown"]),
        "reason": info["shutdown_reason"],
        "dying": bool(info["dying"]),
        "cpu_ns": info["cpu_time"],
        "mem_kib": info["mem_kb"],
        "beat": text(store, f"{home}/data/beat"),
    }


def text(store: Any, path: str) -> str | None:
    try:
        value = store.read("", path)
    except xs.Error:
        return None
    return None if value is None else value.decode(errors="replace")


def main() -> None:
    hypervisor, store = xc.xc(), xs.xs()
    with open("/proc/sys/kernel/random/boot_id") as file:
        boot = file.read().strip()
    for _ in sys.stdin:
        guests = [domain(info, store) for info in hypervisor.domain_getinfo(0, 1024)]
        found = [guest for guest in guests if guest["domid"] != 0]
        print(json.dumps({"boot": boot, "domains": found}), flush=True)


main()
