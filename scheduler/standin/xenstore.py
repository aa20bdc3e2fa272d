"""`xenstore-read`, `-list`, `-ls`, `-write`, `-rm`, on a tree that is made when asked for."""

from __future__ import annotations

import sys

from scheduler.standin.dom0 import Dom0, complain, run, say
from scheduler.standin.xenstore_tree import nodes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def _absolute(path: str) -> str:
    """A relative path is below the caller's own domain, which is domain 0."""
    return path.rstrip("/") if path.startswith("/") else f"/local/domain/0/{path}".rstrip("/")


def _split(words: list[str]) -> tuple[set[str], list[str]]:
    flags = {c for word in words if word.startswith("-") for c in word[1:]}
    return flags, [word for word in words if not word.startswith("-")]


def read(world_dir: str, host: str) -> NoReturn:
    run(lambda: _read(Dom0(world_dir, host), *_split(sys.argv[1:])))


def _read(dom0: Dom0, flags: set[str], paths: list[str]) -> int:
    found = nodes(dom0.state())
    for path in paths:
        node = found.get(_absolute(path))
        if node is None:
            complain(f"xenstore-read: couldn't read path {_absolute(path)}\n")
            return 1
        say(f"{path}: {node[0]}\n" if "p" in flags else f"{node[0]}\n")
    return 0


def list_(world_dir: str, host: str) -> NoReturn:
    run(lambda: _list(Dom0(world_dir, host), *_split(sys.argv[1:])))


def _list(dom0: Dom0, flags: set[str], paths: list[str]) -> int:
    found = nodes(dom0.state())
    for path in paths or ["/"]:
        base = _absolute(path)
        if base and base not in found:
            complain(f"xenstore-list: could not list path {base}\n")
            return 1
        for node in found:
            if node.rpartition("/")[0] == base:
                say((node if "p" in flags else node.rpartition("/")[2]) + "\n")
    return 0


def ls(world_dir: str, host: str) -> NoReturn:
    run(lambda: _ls(Dom0(world_dir, host), *_split(sys.argv[1:])))


def _ls(dom0: Dom0, flags: set[str], paths: list[str]) -> int:
    found = nodes(dom0.state())
    lines = []
    for path in paths or ["/"]:
        base = _absolute(path)
        if base and base not in found:
            complain(f"xenstore-ls: xs_directory ({base}): No such file or directory\n")
            return 1
        for node, (value, who) in found.items():
            if node.startswith(f"{base}/"):
                depth = node.count("/") - base.count("/") - 1
                name = node if "f" in flags else " " * depth + node.rpartition("/")[2]
                shown = f"   ({who})" if "p" in flags else ""
                lines.append(f'{name} = "{value}"{shown}\n')
    say("".join(lines))
    return 0


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


def remove(world_dir: str, host: str) -> NoReturn:
    run(lambda: _remove(Dom0(world_dir, host), *_split(sys.argv[1:])))


def _remove(dom0: Dom0, flags: set[str], paths: list[str]) -> int:
    with dom0.change() as change:
        for path in paths:
            whole = _absolute(path)
            if whole not in nodes(change.state):
                complain(f"xenstore-rm: could not remove path {whole}\n")
                return 1
            for domain in change.state["domains"]:
                base = f"/local/domain/{domain['domid']}/"
                below = whole.removeprefix(base)
                for name in [n for n in domain["xs"] if f"{n}/".startswith(f"{below}/")]:
                    if whole.startswith(base):
                        del domain["xs"][name]
    return 0
