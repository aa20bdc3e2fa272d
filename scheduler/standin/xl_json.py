"""A guest's configuration as JSON, laid out as yajl does it for `xl list -l` and for the stream."""

from __future__ import annotations

from scheduler.standin.microjson import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from scheduler.standin.store import Domain

INVALID_DOMID = 4294967295


def listing(domains: list[Domain]) -> str:
    """What `xl list -l` prints."""
    entries = [{"domid": d["domid"], "config": live_config(d, listed=True)} for d in domains]
    return pretty(entries, 0) + "\n\n"


def sent(config: dict[str, Any]) -> bytes:
    """A configuration as it travels in a migration stream: with its closing NUL."""
    return (pretty(config, 0) + "\n").encode() + b"\0"


def live_config(domain: Domain, listed: bool) -> dict[str, Any]:
    """The stored configuration with what libxl reads from the running domain."""
    config: dict[str, Any] = domain["config"]
    if domain["domid"] == 0:
        return config
    c_info: dict[str, Any] = {}
    for key, value in config["c_info"].items():
        c_info[key] = value
        if key == "name":
            c_info["name"] = domain["name"]
            if listed:
                c_info["domid"] = INVALID_DOMID
    b_info = dict(config["b_info"])
    if domain["online"]:
        b_info["avail_vcpus"] = list(range(domain["online"]))
    return {**config, "c_info": c_info, "b_info": b_info}


def pretty(value: Any, depth: int) -> str:
    """yajl's beautified JSON: four spaces, and an empty map is three lines."""
    if not isinstance(value, dict | list):
        return dumps(value)
    pad, end = "    " * (depth + 1), "    " * depth
    if isinstance(value, dict):
        items = [f"{pad}{dumps(k)}: {pretty(v, depth + 1)}" for k, v in value.items()]
        opening, closing = "{", "}"
    else:
        items = [pad + pretty(v, depth + 1) for v in value]
        opening, closing = "[", "]"
    return f"{opening}\n" + ",\n".join(items) + f"\n{end}{closing}"
