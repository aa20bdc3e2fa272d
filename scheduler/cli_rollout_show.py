"""`xenroll rollout show`: what is done about each host, and why."""

from __future__ import annotations

from scheduler.cli_people import RolloutId, ask, chosen, the_rollout
from scheduler.cli_print import Column, Row, print_lines, print_rows


def _choice(host: Row) -> Row:
    found: Row = host["choice"] or {}
    return found


def why(host: Row) -> str:
    """The reason of the choice, of what holds the host, and what its reboot changed."""
    before, after = host["before"], host["after"]
    parts = [_choice(host).get("reason", ""), host["reason"]]
    if before and after and before["microcode"] != after["microcode"]:
        parts.append(f"microcode {before['microcode']} -> {after['microcode']}")
    return "; ".join(dict.fromkeys(part for part in parts if part))


COLUMNS = (
    Column("HOST", "name"),
    Column("POOL", "pool", wide=True),
    Column("GROUP", "group", wide=True),
    Column("STATE", "state"),
    Column("WAVE", "wave"),
    Column("WAY", lambda host: _choice(host).get("way")),
    Column("CLOSED", lambda host: "yes" if host["closed"] else "", wide=True),
    Column("WHY", why),
)


def show(rollout: RolloutId = None) -> None:
    """Each host: live patch or reboot, why, and where it stands."""
    api = ask()
    rollout_id = the_rollout(api, rollout)
    head = api.get(f"/rollouts/{rollout_id}")
    hosts = api.all(f"/rollouts/{rollout_id}/hosts")
    if chosen().for_programs:
        facts = {name: head[name] for name in ("id", "advisory", "state", "livepatch")}
        print_lines(facts | {"hosts": hosts}, [], chosen())
        return
    print_lines({}, [f"{head['id']}: {head['advisory']}, {head['state']}"], chosen())
    print_rows(hosts, COLUMNS, chosen())
