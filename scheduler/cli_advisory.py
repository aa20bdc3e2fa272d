"""`xenroll advisory …`: what the fleet is rolled for, and where every host stands."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from scheduler.advisory import Advisory, payload_name
from scheduler.advisory_files import AdvisoryError, load_advisories
from scheduler.choice import PAYLOAD_NAME
from scheduler.cli_ask import Refused, segment
from scheduler.cli_exit import Exit
from scheduler.cli_people import Reason, ask, chosen, people, why
from scheduler.cli_print import Column, Row, minute, print_lines, print_rows

app = typer.Typer(no_args_is_help=True, help="Advisories, and each host's exposure to them.")

Name = Annotated[str, typer.Argument(metavar="ADVISORY", help="Such as XSA-469.")]


Builds = Annotated[
    list[str] | None, typer.Option(help="Build id of a fixed hypervisor; may be repeated.")
]
Versions = Annotated[str | None, typer.Option(help='Versions that are fixed, such as ">=4.17.5".')]
Payloads = Annotated[
    list[str] | None, typer.Option(help="BUILD_ID=FILE: a payload and the build it fits.")
]
Digests = Annotated[
    list[str] | None,
    typer.Option(help="BUILD_ID=HEX: of a payload whose file is not on this machine."),
]
Microcode = Annotated[
    list[str] | None,
    typer.Option(help="FF-MM-SS=0xREVISION: the least that is safe for this CPU signature."),
]
Types = Annotated[list[str] | None, typer.Option(help="pv, hvm, pvh, arm or all; may be repeated.")]


@people(app)
def add(
    name: Name,
    title: Annotated[str, typer.Option(help="What it is about.")] = "",
    fixed_build: Builds = None,
    fixed_version: Versions = None,
    livepatch: Payloads = None,
    livepatch_sha256: Digests = None,
    microcode: Microcode = None,
    affects: Types = None,
    deadline: Annotated[str | None, typer.Option(help="When every host must be safe.")] = None,
    embargo_until: Annotated[str | None, typer.Option(help="Until when it is secret.")] = None,
    codename: Annotated[str | None, typer.Option(help="Its name until then.")] = None,
    reason: Reason = "",
) -> None:
    """Add an advisory, or replace what is known of it."""
    payloads = _pairs("--livepatch", "BUILD_ID=FILE", livepatch or [])
    digests = _pairs("--livepatch-sha256", "BUILD_ID=HEX", livepatch_sha256 or [])
    facts = {
        "id": name,
        "title": title,
        "fixed_builds": fixed_build or [],
        "fixed_version": fixed_version,
        "livepatches": payloads,
        "livepatch_sha256s": _digests(payloads) | digests,
        "microcode": _pairs("--microcode", "FF-MM-SS=0xREVISION", microcode or []),
        "affects": affects or ["all"],
        "deadline": deadline,
        "embargo_until": embargo_until,
        "codename": codename,
    }
    try:
        advisory = Advisory.model_validate_json(json.dumps(facts))
    except ValidationError as error:
        paths = [".".join(map(str, one["loc"])) or name for one in error.errors()]
        texts = [one["msg"] for one in error.errors()]
        lines = [f"{path}: {text}" for path, text in zip(paths, texts, strict=True)]
        raise Refused(Exit.BAD_INPUT, *lines) from None
    said = _put(advisory.model_dump(mode="json"), why(reason), merge=False)
    print_lines(said, [said["kept"]], chosen())


def _put(facts: Row, reason: str, *, merge: bool) -> Row:
    path = f"/advisories/{segment(str(facts['id']))}"
    said: Row = ask().put(path, facts, reason=reason, merge=merge)
    return said


def _pairs(option: str, form: str, pairs: list[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not value:
            raise Refused(Exit.BAD_INPUT, f"{option} {pair}: expected {form}")
        found[name] = value
    return found


def _digests(payloads: dict[str, str]) -> dict[str, str]:
    """The SHA-256 of those payloads that are on this machine; their names must fit an order."""
    digests = {}
    for build, file in payloads.items():
        if not PAYLOAD_NAME.fullmatch(payload_name(file)):
            raise Refused(
                Exit.BAD_INPUT, f"--livepatch {file}: name the file with letters, digits and ._+-"
            )
        try:
            digests[build] = hashlib.sha256(Path(file).read_bytes()).hexdigest()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise Refused(Exit.BAD_INPUT, f"--livepatch {file}: {error.strerror}") from None
    return digests


@people(app, "import")
def import_(
    file: Annotated[Path, typer.Argument(help="xsa.json, or YAML of ours; - for stdin.")],
    reason: Reason = "",
) -> None:
    """Add every advisory of a file; where it is silent, what is known already is kept."""
    try:
        raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        loaded = load_advisories(raw)
    except OSError as error:
        raise Refused(Exit.BAD_INPUT, f"{file}: {error.strerror}") from None
    except AdvisoryError as error:
        raise Refused(Exit.BAD_INPUT, *(f"{file}: {line}" for line in error.problems)) from None
    said = why(reason)
    for advisory in loaded:
        _put(advisory.model_dump(mode="json", exclude_unset=True), said, merge=True)
    names = [advisory.id for advisory in loaded]
    print_lines({"kept": names}, [f"{len(loaded)} advisories kept"], chosen())


COLUMNS = (
    Column("ADVISORY", "name"),
    Column("DEADLINE", minute("deadline")),
    Column("EMBARGO UNTIL", minute("embargo_until"), wide=True),
    Column("HOSTS", lambda row: ", ".join(f"{n} {what}" for what, n in row["hosts"].items())),
    Column("CVES", lambda row: ", ".join(row["cves"]), wide=True),
    Column("TITLE", "title"),
)


@people(app, "list", watch=True)
def list_() -> None:
    """Every advisory, with how many hosts are what to it."""
    print_rows(ask().all("/advisories"), COLUMNS, chosen())


STANDINGS = (Column("HOST", "host"), Column("EXPOSURE", "exposure"), Column("WHY", "reason"))


@people(app, watch=True)
def show(name: Name) -> None:
    """One advisory, and each host's standing with the reason."""
    api, path = ask(), f"/advisories/{segment(name)}"
    seen, rows = api.get(path), api.all(f"{path}/hosts")
    standings = {row["host"]: row for row in rows}
    print_lines(seen | {"standings": standings}, [f"{seen['name']}: {seen['title']}"], chosen())
    if not chosen().for_programs:
        print_rows(rows, STANDINGS, chosen())
