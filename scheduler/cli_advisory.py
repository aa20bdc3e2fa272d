"""`xenroll advisory …`: what the fleet is rolled for, and where every host stands."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scheduler.advisory import Advisory, Standing, count, payload_name, standing
from scheduler.advisory_files import AdvisoryError, load_advisories
from scheduler.choice import PAYLOAD_NAME
from scheduler.cli_common import Exit, fail, inventory_of, store
from scheduler.desk import Desk
from scheduler.store import Store
from scheduler.text import plain

app = typer.Typer(no_args_is_help=True, help="Advisories, and each host's exposure to them.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
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


@app.command()
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
        fail(Exit.BAD_INPUT, [f"{path}: {text}" for path, text in zip(paths, texts, strict=True)])
    with store() as held:
        held.put_advisory(advisory)
    typer.echo(f"advisory {advisory.id} kept")


def _pairs(option: str, form: str, pairs: list[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not value:
            fail(Exit.BAD_INPUT, f"{option} {pair}: expected {form}")
        found[name] = value
    return found


def _digests(payloads: dict[str, str]) -> dict[str, str]:
    """The SHA-256 of those payloads that are on this machine; their names must fit an order."""
    digests = {}
    for build, file in payloads.items():
        if not PAYLOAD_NAME.fullmatch(payload_name(file)):
            fail(Exit.BAD_INPUT, f"--livepatch {file}: name the file with letters, digits and ._+-")
        try:
            digests[build] = hashlib.sha256(Path(file).read_bytes()).hexdigest()
        except FileNotFoundError:
            continue
        except OSError as error:
            fail(Exit.BAD_INPUT, f"--livepatch {file}: {error.strerror}")
    return digests


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="xsa.json, or YAML of ours; - for stdin.")],
) -> None:
    """Add every advisory of a file; where it is silent, what is known already is kept."""
    try:
        raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        loaded = load_advisories(raw)
    except OSError as error:
        fail(Exit.BAD_INPUT, f"{file}: {error.strerror}")
    except AdvisoryError as error:
        fail(Exit.BAD_INPUT, [f"{file}: {line}" for line in error.problems])
    with store() as held:
        known = held.advisories()
        for advisory in loaded:
            before = known.get(advisory.id)
            told = advisory.model_dump(exclude_unset=True)
            held.put_advisory(before.model_copy(update=told) if before else advisory)
    typer.echo(f"{len(loaded)} advisories kept")


@app.command(name="list")
def list_(as_json: AsJson = False) -> None:
    """Every advisory, with how many hosts are what to it."""
    with store() as held:
        advisories = held.advisories()
        standings = {name: _standings(held, advisories[name]) for name in sorted(advisories)}
    if as_json:
        rows = [
            advisories[name].model_dump(mode="json") | {"hosts": count(standings[name])}
            for name in standings
        ]
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table("ADVISORY", "DEADLINE", "HOSTS", "TITLE", box=None, pad_edge=False)
    for name, hosts in standings.items():
        one = advisories[name]
        deadline = f"{one.deadline:%Y-%m-%d %H:%M %Z}" if one.deadline else "-"
        counted = ", ".join(f"{number} {what}" for what, number in count(hosts).items())
        table.add_row(name, deadline, counted or "-", Text(plain(one.title)))
    Console().print(table)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """One advisory, and each host's standing with the reason."""
    with store() as held:
        advisory = held.advisories().get(name)
        if advisory is None:
            fail(Exit.BAD_INPUT, f"no advisory {name}; see `xenroll advisory list`")
        hosts = _standings(held, advisory)
    if as_json:
        standings = {host: one.model_dump(mode="json") for host, one in hosts.items()}
        typer.echo(json.dumps(advisory.model_dump(mode="json") | {"hosts": standings}, indent=2))
        return
    typer.echo(plain(f"{advisory.id}: {advisory.title}"))
    table = Table("HOST", "EXPOSURE", "WHY", box=None, pad_edge=False)
    for host, one in hosts.items():
        table.add_row(Text(plain(host)), str(one.exposure), Text(plain(one.reason)))
    Console().print(table)


def _standings(held: Store, advisory: Advisory) -> dict[str, Standing]:
    desk = Desk(held.client, inventory_of(held), time.monotonic, stale_after_s=60.0)
    desk.refresh()
    reports = {host: desk.newest(host) for host in desk.hosts}
    return {host: standing(advisory, report) for host, report in reports.items() if report}
