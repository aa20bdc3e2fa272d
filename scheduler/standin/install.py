"""Launchers: the small executable files that a host's `bin/` holds in place of Xen's programs."""

from __future__ import annotations

import os
import sys

from scheduler.standin.store import replace_file

# program -> (module, function); every function is called with (world_dir, host).
PROGRAMS = {
    "xl": ("xl", "main"),
    "libxl-save-helper": ("save_helper", "main"),
    "ssh": ("ssh", "main"),
    "xen-livepatch": ("livepatch", "main"),
    "reboot": ("reboot", "main"),
    "systemctl": ("reboot", "systemctl"),
    "xenstore-ls": ("xenstore", "ls"),
    "xenstore-list": ("xenstore", "list_"),
    "xenstore-read": ("xenstore", "read"),
    "xenstore-write": ("xenstore", "write"),
    "xenstore-rm": ("xenstore", "remove"),
}
# -I -S -E: no site-packages, no user folder, no PYTHON* variables: half the start-up time.
FLAGS = "-ISE"
LONGEST_SHEBANG = 250


def install(bin_dir: str, world_dir: str, host: str, python: str = sys.executable) -> None:
    """Write the launchers for one host into `bin_dir`, to be put first on PATH.

    `python` is the interpreter that runs them; it needs nothing but its standard library.
    """
    os.makedirs(bin_dir, exist_ok=True)
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for program, (module, function) in PROGRAMS.items():
        body = (
            "import sys\n"
            f"sys.path.insert(0, {root!r})\n"
            f"from scheduler.standin.{module} import {function}\n"
            f"{function}({os.path.abspath(world_dir)!r}, {host!r})\n"
        )
        _write_launcher(bin_dir, program, python, body)


def _write_launcher(bin_dir: str, program: str, python: str, body: str) -> None:
    shebang = f"#!{python} {FLAGS}\n"
    if len(shebang) < LONGEST_SHEBANG and " " not in python:
        replace_file(f"{bin_dir}/{program}", shebang + body, 0o755)
        return
    # The kernel takes neither a long interpreter path nor one with a blank.
    hidden = f"{bin_dir}/.{program}.py"
    replace_file(hidden, body)
    start = f'#!/bin/sh\nexec {_quoted(python)} {FLAGS} {_quoted(hidden)} "$@"\n'
    replace_file(f"{bin_dir}/{program}", start, 0o755)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
