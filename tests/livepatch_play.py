"""What `xen-livepatch` says, command by command: on real Xen, and on the stand-in.

`tests/lab_livepatch.py` plays this on real Xen and keeps what was said beside the conformance
recordings; `tests/test_conformance.py` plays it on the stand-in, which has to say the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.conformance import RECORDED

FITS, FOREIGN, STACKED = "hello.livepatch", "foreign.livepatch", "bye.livepatch"
"""Files in the folder where the commands are given: made for this build of Xen; for another one;
for this build with the first applied."""

COMMANDS = (
    "list",
    f"upload foreign {FOREIGN}",
    f"load {FOREIGN}",
    "list",
    f"upload hello {FITS}",
    "list",
    f"upload hello {FITS}",
    f"upload other {FITS}",
    f"upload foreign {FOREIGN}",
    "revert hello",
    "apply hello",
    "apply hello",
    "list",
    "unload hello",
    "replace hello",
    f"upload other {FITS}",
    "revert hello",
    "revert hello",
    "list",
    "apply hello",
    "list",
    "unload hello",
    "list",
    f"load {FITS}",
    f"load {FITS}",
    "list",
    "revert hello",
    "unload hello",
    f"upload bye {STACKED}",
    "apply bye",
    "list",
    "unload bye",
    f"load {FITS}",
    f"load {STACKED}",
    "list",
    "revert hello",
    "list",
    "revert bye",
    "list",
    "revert hello",
    "unload bye",
    "unload hello",
    "apply nosuch",
    "revert nosuch",
    "replace nosuch",
    "unload nosuch",
    "upload nosuch nosuch.livepatch",
    "load nosuch.livepatch",
    "upload odd /etc/passwd",
    "apply",
    "upload one",
    "list one",
    "frobnicate",
    "list",
)


@dataclass(frozen=True)
class Answer:
    """One command and what it said."""

    command: str
    code: int
    out: str
    err: str


def play_livepatch(run: Callable[[str], tuple[int, str, str]]) -> list[Answer]:
    """Every command in order; `run` gives one to a shell, in the folder where the files are."""
    return [Answer(command, *run(f"xen-livepatch {command}")) for command in COMMANDS]


def save_livepatch(told: Sequence[Answer], folder: Path = RECORDED) -> None:
    text = json.dumps([asdict(answer) for answer in told], indent=1)
    (folder / "livepatch.json").write_text(text + "\n")


def load_livepatch() -> list[Answer]:
    return [Answer(**row) for row in json.loads((RECORDED / "livepatch.json").read_text())]
