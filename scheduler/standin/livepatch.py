"""`xen-livepatch`: list, upload, load, apply, revert, replace, unload.

A payload file is a few lines of text: `build-id: HEX` names the hypervisor build it fits and
`id: TEXT` the patch itself (as every real payload does; two files of one id are the same patch),
`depends: TEXT` the id of the patch that it is applied on (else on the hypervisor itself),
`metadata: TEXT` is shown by `list`.  Exit codes: 0 done, 1 error, 2 try again.
"""

from __future__ import annotations

import sys

from scheduler.standin import faults
from scheduler.standin.dom0 import Dom0, complain, run, say
from scheduler.standin.store import read_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

NAME_SIZE = 128
HELP = (
    "xen-livepatch: live patching tool\n"
    "Usage: xen-livepatch <command> [args] [command-flags]\n"
    f" <name> An unique name of payload. Up to {NAME_SIZE} characters.\n"
    "Commands:\n"
    "  help                   display this help\n"
    "  upload <name> <file>   upload file <file> with <name> name\n"
    "  list                   list payloads uploaded.\n"
    "  apply <name> [flags]   apply <name> patch.\n"
    "    Supported flags:\n"
    "      --nodeps           Disable inter-module buildid dependency check.\n"
    "                         Check only against hypervisor buildid.\n"
    "  revert <name>          revert name <name> patch.\n"
    "  replace <name>         apply <name> patch and revert all others.\n"
    "  unload <name>          unload name <name> patch.\n"
    "  load <file> [flags]    upload and apply <file> with name as the <file> name\n"
    "    Supported flags:\n"
    "      --nodeps           Disable inter-module buildid dependency check.\n"
    "                         Check only against hypervisor buildid.\n"
)
EAGAIN, ENOENT, EEXIST, EINVAL, EBUSY = 11, 2, 17, 22, 16
TEXTS = {
    EAGAIN: "Resource temporarily unavailable",
    ENOENT: "No such file or directory",
    EEXIST: "File exists",
    EINVAL: "Invalid argument",
    EBUSY: "Device or resource busy",
}
# action -> (state it needs, state it leads to, what it says)
ACTIONS = {
    "apply": ("CHECKED", "APPLIED", "Applying"),
    "revert": ("APPLIED", "CHECKED", "Reverting"),
    "unload": ("CHECKED", None, "Unloading"),
    "replace": ("CHECKED", "APPLIED", "Replacing all live patches with"),
}
COMMANDS = ["help", "list", "upload", "load", *ACTIONS]


def main(world_dir: str, host: str) -> NoReturn:
    run(lambda: _livepatch(Dom0(world_dir, host), sys.argv[1:]))


def _livepatch(dom0: Dom0, words: list[str]) -> int:
    if not words:
        complain(HELP)
        return 0
    command = next((c for c in COMMANDS if c.startswith(words[0])), None)
    arguments = [word for word in words[1:] if word != "--nodeps"]
    if command is None:
        complain(f"Unrecognised command '{words[0]}' -- try 'xen-livepatch help'\n")
        return 1
    wanted = {"help": len(arguments), "list": 0, "upload": 2}.get(command, 1)
    if command == "help" or len(arguments) != wanted:
        complain(HELP)
        return 0 if command == "help" else 1
    if command == "list":
        return _list(dom0)
    if command == "upload":
        return _upload(dom0, *arguments)
    if command == "load":
        return _load(dom0, arguments[0])
    return _act(dom0, command, arguments[0])


def _list(dom0: Dom0) -> int:
    patches = dom0.state()["livepatches"]
    if not patches:
        say("Nothing to list\n")
        return 0
    say(f" {'ID':<39}| status     | metadata\n" + "-" * 40 + "+" + "-" * 12 + "+" + "-" * 15 + "\n")
    for patch in patches:
        number = patch.get("rc", 0)
        failed = f" ({number}, {TEXTS[number]})" if number else ""
        say(f"{patch['name']:<40}| {patch['state']}{failed}    | {patch['metadata']}\n")
    return 0


def _payload(text: str) -> dict[str, str]:
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _error(number: int) -> int:
    complain(f"Error {number}: {TEXTS[number]}\n")
    return 2 if number in (EAGAIN, EBUSY) else 1


def _upload(dom0: Dom0, name: str, path: str) -> int:
    if len(name) > NAME_SIZE:
        complain(f"ID must be no more than {NAME_SIZE} characters.\n")
        return 1
    payload: dict[str, str] = {}
    try:
        payload = _payload(read_text(path))
    except UnicodeDecodeError:
        payload = {}  # no payload of this stand-in: fits no build
    except OSError as error:
        complain(f"Could not open {path}.\nError {error.errno}: {error.strerror}\n")
        return 1
    say(f"Uploading {path}... ")
    with dom0.change() as change:
        refusal = _unfit(change.state, name, payload)
        if refusal is None:
            facts = {fact: payload.get(fact) for fact in ("id", "depends")}
            metadata = payload.get("metadata", "")
            change.state["livepatches"].append(
                {"name": name, "state": "CHECKED", "metadata": metadata, **facts}
            )
            change.note("livepatch", name=name, state="CHECKED")
    if refusal is not None:
        say("failed\n")
        return _error(refusal)
    say("completed\n")
    return 0


def _unfit(state: dict[str, Any], name: str, payload: dict[str, str]) -> int | None:
    """Why Xen does not take it, looking as livepatch.c does: at the name, the patch, the build."""
    loaded = state["livepatches"]
    mine = payload.get("id")
    if any(p["name"] == name or (mine and p.get("id") == mine) for p in loaded):
        return EEXIST
    return None if payload.get("build-id") == state["xen"]["build_id"] else EINVAL


def _load(dom0: Dom0, path: str) -> int:
    base = path.rpartition("/")[2]
    name = base.rpartition(".")[0] or base
    code = _upload(dom0, name, path)
    if code:
        return code
    code = _act(dom0, "apply", name)
    if code:
        _act(dom0, "unload", name)
    return code


def _act(dom0: Dom0, action: str, name: str) -> int:
    needed, after, verb = ACTIONS[action]
    found = [p for p in dom0.state()["livepatches"] if p["name"] == name]
    if not found:
        complain(f"Failed to get status of {name}.\n")
        return _error(ENOENT)
    now = found[0]["state"]
    if now == after:
        say("No action needed.\n")
        return 0
    if now != needed:
        complain(f"{name} is in the wrong state.\nCurrent state: {now}\nExpected state: {needed}\n")
        return 1
    say(f"{verb} {name}... ")
    out_of_turn = _out_of_turn(dom0.state(), found[0], action)
    if out_of_turn is not None:
        say("failed\n")
        return _error(out_of_turn)
    # A payload that may have changed its own data is not applied again, as seen on real Xen.
    stale = action == "apply" and found[0].get("reverted")
    failure = EINVAL if stale else _failure(dom0)
    if failure is not None:
        say("failed\n")
        with dom0.change() as change:
            _patch(change.state, name)["rc"] = failure if failure == EINVAL else 0
        return _error(failure)
    dom0.world.sleep(0.06)
    with dom0.change() as change:
        _set_state(change.state, action, name, after)
        change.note("livepatch", name=name, state=after or "unloaded")
    say("completed\n")
    return 0


def _out_of_turn(state: dict[str, Any], patch: dict[str, Any], action: str) -> int | None:
    """Patches are a pile: what is applied depends on the topmost, and only that is reverted.

    Xen refuses before it begins, so the payload's state shows nothing of it.
    """
    applied = [one for one in state["livepatches"] if one["state"] == "APPLIED"]
    top = max(applied, key=lambda one: one.get("turn", 0)) if applied else None
    if action == "revert":
        return EBUSY if top is not None and top["name"] != patch["name"] else None
    fits = patch.get("depends") == (top.get("id") if top else None)
    return EINVAL if action == "apply" and not fits else None


def _failure(dom0: Dom0) -> int | None:
    """Injected: CPUs could not be rendezvoused (try again), or the patch does not apply."""
    if faults.take(dom0.world, faults.HOST, dom0.host, "livepatch-busy") is not None:
        return EAGAIN
    if faults.take(dom0.world, faults.HOST, dom0.host, "livepatch-fails") is not None:
        return EINVAL
    return None


def _set_state(state: dict[str, Any], action: str, name: str, after: str | None) -> None:
    if action == "replace":
        for patch in state["livepatches"]:
            patch["state"] = "CHECKED"
    if after is None:
        state["livepatches"] = [p for p in state["livepatches"] if p["name"] != name]
        return
    turn = 1 + max(one.get("turn", 0) for one in state["livepatches"])
    _patch(state, name).update(state=after, reverted=action == "revert", rc=0, turn=turn)


def _patch(state: dict[str, Any], name: str) -> dict[str, Any]:
    """The one that is loaded under this name; there is one."""
    return next(patch for patch in state["livepatches"] if patch["name"] == name)
