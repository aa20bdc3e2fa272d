"""`xenstore-read`, `-list`, `-ls`, `-write`: the tree is made from the host's state when asked for.

Generated are the nodes that tell something about domains (names, memory, CPUs, control, devices);
what a test or a guest writes (`domain["xs"]`) lies over them.
"""

from __future__ import annotations

import sys

from scheduler.standin.dom0 import Dom0, complain, run, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from scheduler.standin.store import Domain, State

CONTROL = {
    "control/shutdown": "",
    "control/feature-poweroff": "1",
    "control/feature-reboot": "1",
    "control/feature-suspend": "1",
    "control/sysrq": "",
    "control/platform-feature-multiprocessor-suspend": "1",
    "control/platform-feature-xs_reset_watches": "1",
    "data": "",
    "drivers": "",
    "feature": "",
    "attr": "",
    "error": "",
}


def tree(state: State) -> dict[str, str]:
    """Every node's value by its path, parents before children."""
    nodes: dict[str, str] = {"/local/domain": ""}
    for domain in state["domains"]:
        base = f"/local/domain/{domain['domid']}"
        nodes[base] = ""
        for path, value in _domain_nodes(domain).items():
            nodes[f"{base}/{path}"] = value
    for domain in state["domains"]:
        if domain["domid"]:
            vm = f"/vm/{domain['uuid']}"
            facts = {"name": domain["name"], "uuid": domain["uuid"]}
            facts["start_time"] = f"{domain['started_at']:.2f}"
            nodes[vm] = ""
            nodes.update({f"{vm}/{key}": value for key, value in facts.items()})
    return _with_parents(nodes)


def _domain_nodes(domain: Domain) -> dict[str, str]:
    if domain["domid"] == 0:
        kib = str(domain["mem_kib"])
        return {"domid": "0", "name": "Domain-0", "memory/target": kib, "memory/static-max": kib}
    b_info = domain["config"]["b_info"]
    nodes = {"vm": f"/vm/{domain['uuid']}", "name": domain["name"]}
    for cpu in range(b_info["max_vcpus"]):
        online = cpu < max(1, domain["online"])
        nodes[f"cpu/{cpu}/availability"] = "online" if online else "offline"
    nodes["memory/static-max"] = str(b_info["max_memkb"])
    nodes["memory/target"] = str(b_info["target_memkb"])
    nodes["memory/videoram"] = str(b_info.get("video_memkb", 0))
    nodes["device/suspend/event-channel"] = ""
    for nic in domain["config"].get("nics", []):
        at = f"device/vif/{nic['devid']}"
        nodes[f"{at}/state"], nodes[f"{at}/mac"] = "4", nic["mac"]
    nodes.update(CONTROL)
    nodes["domid"] = str(domain["domid"])
    nodes.update({k: v for k, v in domain["xs"].items() if not k.startswith("rings/")})
    return nodes


def _with_parents(nodes: dict[str, str]) -> dict[str, str]:
    full: dict[str, str] = {}
    for path, value in nodes.items():
        parts = path.split("/")[1:]
        for length in range(1, len(parts)):
            full.setdefault("/" + "/".join(parts[:length]), "")
        full[path] = value
    return full


def _absolute(path: str) -> str:
    """A relative path is below the caller's own domain, which is domain 0."""
    return path.rstrip("/") if path.startswith("/") else f"/local/domain/0/{path}".rstrip("/")


def _split(words: list[str]) -> tuple[set[str], list[str]]:
    flags = {c for word in words if word.startswith("-") for c in word[1:]}
    return flags, [word for word in words if not word.startswith("-")]


def read(world_dir: str, host: str) -> NoReturn:
    run(lambda: _read(Dom0(world_dir, host), *_split(sys.argv[1:])))


def _read(dom0: Dom0, flags: set[str], paths: list[str]) -> int:
    nodes = tree(dom0.state())
    for path in paths:
        value = nodes.get(_absolute(path))
        if value is None:
            complain(f"xenstore-read: couldn't read path {_absolute(path)}\n")
            return 1
        say(f"{path}: {value}\n" if "p" in flags else f"{value}\n")
    return 0


def list_(world_dir: str, host: str) -> NoReturn:
    run(lambda: _list(Dom0(world_dir, host), *_split(sys.argv[1:])))


def _list(dom0: Dom0, flags: set[str], paths: list[str]) -> int:
    nodes = tree(dom0.state())
    for path in paths or ["/"]:
        base = _absolute(path)
        if base and base not in nodes:
            complain(f"xenstore-list: could not list path {base}\n")
            return 1
        for node in nodes:
            if node.rpartition("/")[0] == base:
                say((node if "p" in flags else node.rpartition("/")[2]) + "\n")
    return 0


def ls(world_dir: str, host: str) -> NoReturn:
    run(lambda: _ls(Dom0(world_dir, host), *_split(sys.argv[1:])))


def _ls(dom0: Dom0, flags: set[str], paths: list[str]) -> int:
    nodes = tree(dom0.state())
    lines = []
    for path in paths or ["/"]:
        base = _absolute(path)
        if base and base not in nodes:
            complain(f"xenstore-ls: xs_directory ({base}): No such file or directory\n")
            return 1
        for node, value in nodes.items():
            if node.startswith(f"{base}/"):
                depth = node.count("/") - base.count("/") - 1
                name = node if "f" in flags else " " * depth + node.rpartition("/")[2]
                lines.append(f'{name} = "{value}"{_permissions(node, flags)}\n')
    say("".join(lines))
    return 0


def _permissions(node: str, flags: set[str]) -> str:
    if "p" not in flags:
        return ""
    parts = node.split("/")
    owner = parts[3] if node.startswith("/local/domain/") and len(parts) > 3 else "0"
    return "   (n0)" if owner == "0" else f"   (n0,r{owner})"


def write(world_dir: str, host: str) -> NoReturn:
    run(lambda: _write(Dom0(world_dir, host), *_split(sys.argv[1:])))


def _write(dom0: Dom0, flags: set[str], words: list[str]) -> int:
    with dom0.change() as change:
        for path, value in zip(words[::2], words[1::2], strict=False):
            parts = _absolute(path).split("/")
            for domain in change.state["domains"]:
                if parts[:3] == ["", "local", "domain"] and parts[3] == str(domain["domid"]):
                    domain["xs"]["/".join(parts[4:])] = value
    return 0
