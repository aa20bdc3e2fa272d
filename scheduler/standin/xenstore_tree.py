"""The nodes of xenstore, made from a host's state: `nodes(state)`.

Order, values and permissions are those recorded on real Xen.  What a guest or a test wrote
(`domain["xs"]`) lies over what is made here.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from scheduler.standin.store import Domain, State

    Nodes = dict[str, tuple[str, str]]

# Who may do what: owner first.  D stands for the domain's id.
TOOLS, SHARED, GUESTS, DEVICE = "n0", "n0,rD", "nD", "nD,r0"
GUEST_CONTROL = ("shutdown", "feature-poweroff", "feature-reboot", "feature-suspend", "sysrq")
DOM0_CONTROL = ("platform-feature-multiprocessor-suspend", "platform-feature-xs_reset_watches")
GUEST_FOLDERS = ("drivers", "feature", "attr", "error")
VBD_FEATURES = {"protocol": "x86_64-abi", "feature-persistent": "1"}
VIF_FEATURES = (
    "request-rx-copy feature-rx-notify feature-sg feature-gso-tcpv4 feature-gso-tcpv6"
    " feature-ipv6-csum-offload"
)


def nodes(state: State) -> Nodes:
    """path -> (value, permissions), parents before children."""
    made: Nodes = {"/local": ("", TOOLS), "/local/domain": ("", TOOLS)}
    for domain in state["domains"]:
        _add_domain(made, domain)
    made["/vm"] = ("", TOOLS)
    for domain in state["domains"]:
        if domain["domid"]:
            _add_vm(made, domain)
    return made


def _add_domain(made: Nodes, domain: Domain) -> None:
    domid = str(domain["domid"])
    base = f"/local/domain/{domid}"
    inside = _domain_0(domain) if domid == "0" else _guest(domain)
    for path, value in domain["xs"].items():
        if not path.startswith("rings/"):
            inside[path] = (value, inside[path][1] if path in inside else GUESTS)
    made[base] = ("", TOOLS if domid == "0" else SHARED.replace("D", domid))
    for path, (value, who) in inside.items():
        # A folder that nothing else names belongs to the tools, as its parent does.
        parts = path.split("/")
        for length in range(1, len(parts)):
            folder = f"{base}/{'/'.join(parts[:length])}"
            made.setdefault(folder, ("", made[base][1]))
        made[f"{base}/{path}"] = (value, who.replace("D", domid))


def _domain_0(domain: Domain) -> Nodes:
    kib = str(domain["mem_kib"])
    made = {f"control/feature-{word}": ("1", TOOLS) for word in ("poweroff", "reboot", "suspend")}
    rest = {"domid": "0", "name": "Domain-0", "memory/target": kib, "memory/static-max": kib}
    return {**made, **{path: (value, TOOLS) for path, value in rest.items()}}


def _guest(domain: Domain) -> Nodes:
    b_info, domid = domain["config"]["b_info"], domain["domid"]
    made: Nodes = {"vm": (f"/vm/{domain['uuid']}", SHARED), "name": (domain["name"], SHARED)}
    for cpu in range(b_info["max_vcpus"]):
        online = "online" if cpu < max(1, domain["online"]) else "offline"
        made[f"cpu/{cpu}/availability"] = (online, SHARED)
    made["memory/static-max"] = (str(b_info["max_memkb"]), SHARED)
    made["memory/target"] = (str(b_info["target_memkb"]), SHARED)
    made["memory/videoram"] = (str(b_info.get("video_memkb", 0)), SHARED)
    made["device/suspend/event-channel"] = ("", GUESTS)
    for disk in domain["config"].get("disks", []):
        made.update(_vbd(disk, domid))
    for nic in domain["config"].get("nics", []):
        made.update(_vif(nic, domid, domain["xs"].get(f"rings/vif/{nic['devid']}", "768/769")))
    made.update({f"control/{word}": ("", GUESTS) for word in ("shutdown",)})
    made.update({f"control/{word}": ("1", GUESTS) for word in GUEST_CONTROL[1:4]})
    made["control/sysrq"] = ("", GUESTS)
    made.update({f"control/{word}": ("1", SHARED) for word in DOM0_CONTROL})
    made["data"] = ("", GUESTS)
    made.update({p: (v, GUESTS) for p, v in domain["xs"].items() if p.startswith("data/")})
    made.update({folder: ("", GUESTS) for folder in GUEST_FOLDERS})
    made.update(_store_and_console(domain))
    return made


def _vbd(disk: dict[str, Any], domid: int) -> Nodes:
    from scheduler.standin.xl_devices import vdev_number

    number = vdev_number(disk["vdev"])
    values = {
        "backend": f"/local/domain/0/backend/vbd/{domid}/{number}",
        "backend-id": "0",
        "state": "4",
        "virtual-device": str(number),
        "device-type": "disk",
        "trusted": "1",
        "ring-ref": "8",
        "event-channel": "7",
        **VBD_FEATURES,
    }
    base = f"device/vbd/{number}"
    return {base: ("", DEVICE), **{f"{base}/{k}": (v, DEVICE) for k, v in values.items()}}


def _vif(nic: dict[str, Any], domid: int, rings: str) -> Nodes:
    number = nic["devid"]
    transmit, _, receive = rings.partition("/")
    values = {
        "backend": f"/local/domain/0/backend/vif/{domid}/{number}",
        "backend-id": "0",
        "state": "4",
        "handle": str(number),
        "mac": nic["mac"],
        "trusted": "1",
        "mtu": "1500",
        "xdp-headroom": "0",
        "multi-queue-num-queues": "1",
        "tx-ring-ref": transmit,
        "rx-ring-ref": receive,
        "event-channel-tx": "8",
        "event-channel-rx": "9",
        **dict.fromkeys(VIF_FEATURES.split(), "1"),
    }
    base = f"device/vif/{number}"
    made = {base: ("", DEVICE), **{f"{base}/{k}": (v, DEVICE) for k, v in values.items()}}
    made[f"{base}/mtu"] = (values["mtu"], SHARED)
    return made


def _store_and_console(domain: Domain) -> Nodes:
    domid = domain["domid"]
    first = 497665 if domain["config"]["c_info"]["type"] == "pv" else 1044476
    values = {
        "domid": str(domid),
        "store": "",
        "store/port": "1",
        "store/ring-ref": str(first),
        "console": "",
        "console/backend": f"/local/domain/0/backend/console/{domid}/0",
        "console/backend-id": "0",
        "console/limit": "1048576",
        "console/type": "xenconsoled",
        "console/output": "pty",
        "console/tty": "/dev/pts/0",
        "console/port": "2",
        "console/ring-ref": str(first + (1 if first < 1000000 else 3)),
    }
    made = {path: (value, SHARED) for path, value in values.items()}
    made["console/backend-id"] = ("0", DEVICE)
    return made


def _add_vm(made: Nodes, domain: Domain) -> None:
    who = SHARED.replace("D", str(domain["domid"]))
    base = f"/vm/{domain['uuid']}"
    made[base] = ("", who)
    made[f"{base}/name"] = (domain["name"], who)
    made[f"{base}/uuid"] = (domain["uuid"], who)
    made[f"{base}/start_time"] = (f"{domain['started_at']:.2f}", who)
