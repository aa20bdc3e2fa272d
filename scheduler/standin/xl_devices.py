"""`xl network-list`, `block-list`, `pci-list`."""

from __future__ import annotations

from scheduler.standin.dom0 import Dom0, complain, find_domain, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from scheduler.standin.store import Domain


def network_list(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    state = dom0.state()
    say(
        f"{'Idx':<3} {'BE':<2} {'Mac Addr.':<17} {'handle':<6} {'state':<5} {'evt-ch':<6}"
        f"   {'tx-/rx-ring-ref':<5} {'BE-path':<30}\n"
    )
    for word in rest:
        domain = _known(state["domains"], word)
        for nic in domain["config"].get("nics", []) if domain else []:
            number, domid = nic["devid"], domain["domid"] if domain else 0
            rings = domain["xs"].get(f"rings/vif/{number}", "768/769") if domain else ""
            say(
                f"{number:<3d} 0  {nic['mac']:<17} {number:5d} {4:5d} {-1:6d}"
                f"   {rings:<15} /local/domain/0/backend/vif/{domid}/{number}\n"
            )
    return 0


def block_list(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    state = dom0.state()
    say(f"{'Vdev':<5} {'BE':<3} handle state evt-ch ring-ref {'BE-path':<30}\n")
    for word in rest:
        domain = _known(state["domains"], word)
        for disk in domain["config"].get("disks", []) if domain else []:
            number, domid = vdev_number(disk["vdev"]), domain["domid"] if domain else 0
            say(
                f"{number:<5d} {0:<3d} {domid:<6d} {4:<5d} {7:<6d} {8:<8d}"
                f" /local/domain/0/backend/vbd/{domid}/{number}\n"
            )
    return 0


def _known(domains: list[Domain], word: str) -> Domain | None:
    """These two commands name a missing guest on stderr and go on to the next."""
    for domain in domains:
        if word == (str(domain["domid"]) if word.isdigit() else domain["name"]):
            return domain
    complain(f"{word} is an invalid domain identifier\n")
    return None


def vdev_number(vdev: str) -> int:
    """A virtual disk's number: xvda is 51712; sixteen minors each; from the 17th disk extended."""
    base, first = (51712, "xvd") if vdev.startswith("xvd") else (768, vdev[:2])
    letter = vdev[len(first) : len(first) + 1] or "a"
    index = ord(letter) - ord("a")
    partition = int(vdev[len(first) + 1 :] or 0)
    if first == "xvd" and index > 15:
        return (1 << 28) + (index << 8) + partition
    return base + index * (16 if first == "xvd" else 64) + partition


def pci_list(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    domain = find_domain(dom0.state(), rest[0])
    say("Vdev Device\n")
    for device in domain["config"].get("pcidevs", []):
        slot = device.get("vdevfn", 0)
        say(
            f"{slot >> 3 & 0x1F:02x}.{slot & 7:01x} {device.get('domain', 0):04x}"
            f":{device.get('bus', 0):02x}:{device.get('dev', 0):02x}.{device.get('func', 0):01x}\n"
        )
    return 0
