"""What README says there is, there is; and what there is, README says."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from scheduler.cli import build
from scheduler.cli_common import Exit


@pytest.fixture
def readme(repository: Path) -> str:
    return (repository / "README.md").read_text()


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every command that does something, with its full name."""
    below = getattr(command, "commands", None)
    if below is None:
        yield path, command
        return
    for name, one in below.items():
        yield from commands(one, f"{path} {name}")


def all_commands() -> list[tuple[str, Any]]:
    return list(commands(typer.main.get_command(build()), "xenroll"))


def test_every_command_stands_in_readme_and_has_help(readme: str) -> None:
    found = all_commands()
    assert len(found) >= 10
    assert [name for name, _ in found if f"`{name}" not in readme] == []
    assert [name for name, command in found if not command.help] == []


PAGES = ("install", "operating", "runbook")


@pytest.mark.parametrize("name", ["README.md", *(f"deploy/{n}.md" for n in PAGES)])
def test_every_command_that_a_document_names_exists(repository: Path, name: str) -> None:
    known = {name for name, _ in all_commands()}
    text = (repository / name).read_text()
    named = set(re.findall(r"xenroll (?:plan|check|controller|(?:[a-z]+ [a-z]+))", text))
    named = {name for name in named if name.split()[1] in {k.split()[1] for k in known}}
    assert named
    assert named <= known


def options(command: Any) -> set[str]:
    return {word for one in command.params for word in (*one.opts, *one.secondary_opts)}


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", *(f"deploy/{n}.md" for n in PAGES)])
def test_every_option_that_a_document_gives_a_command_exists(repository: Path, name: str) -> None:
    known = dict(all_commands())
    found = 0
    for words, rest in re.findall(
        r"xenroll ([a-z]+(?: [a-z]+)?)([^`\n]*)", (repository / name).read_text()
    ):
        command = known.get(f"xenroll {words}") or known.get(f"xenroll {words.split()[0]}")
        if command is None:
            continue  # a sentence about the program
        given = set(re.findall(r"(?<![\w-])--[a-z-]+", rest))
        assert given <= options(command) | {"--help"}, (words, rest)
        found += len(given)
    assert found


def test_every_unit_runs_a_command_that_exists_with_options_that_it_has(repository: Path) -> None:
    known = dict(all_commands())
    units = sorted((repository / "deploy/systemd").glob("*.service"))
    lines = [
        re.findall(r"^ExecStart=/opt/xenroll/bin/(.+)$", unit.read_text(), re.M) for unit in units
    ]
    assert len(lines) == 4 and all(len(one) == 1 for one in lines)
    for (line,) in lines:
        if line.startswith("xenroll-agent "):
            continue  # tests/test_agents_deploy.py
        name = max((one for one in known if f"{line} ".startswith(f"{one} ")), key=len)
        rest = line.removeprefix(name).split()
        assert {word for word in rest if word.startswith("-")} <= options(known[name])


def make_targets(repository: Path) -> set[str]:
    text = (repository / "Makefile").read_text()
    return set(re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE))


def test_every_target_of_make_stands_in_readme_and_the_other_way_round(
    repository: Path, readme: str
) -> None:
    targets = make_targets(repository)
    named = set(re.findall(r"`?make ([a-z]+(?:-[a-z]+)*)", readme))
    assert targets - named - {"help"} == set()
    assert {name for name in named if name in targets} == targets - {"help"}


def test_make_alone_lists_every_target(repository: Path) -> None:
    said = subprocess.run(
        ["make", "--no-print-directory"], cwd=repository, capture_output=True, text=True, check=True
    ).stdout
    assert {line.split()[1] for line in said.splitlines()} == make_targets(repository)


def test_every_exit_code_stands_in_readme(readme: str) -> None:
    paragraph = readme[readme.index("Exit codes:") :].split("\n\n")[0]
    assert [code for code in Exit if not re.search(rf"\b{code.value}\b", paragraph)] == []


DOCUMENTS = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "deploy/install.md",
    "deploy/operating.md",
    "deploy/runbook.md",
    "deploy/lab/README.md",
    "tests/stories/README.md",
]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_file_that_a_document_names_exists(repository: Path, name: str) -> None:
    text = (repository / name).read_text()
    paths = re.findall(r"`((?:planner|agents|scheduler|deploy|tests)/[\w./*-]*)`", text)
    links = re.findall(r"\]\(([\w./-]+)\)", text)
    missing = [path for path in paths if not list(repository.glob(path.rstrip("/")))]
    missing += [link for link in links if not (repository / name).parent.joinpath(link).exists()]
    assert missing == []


def test_the_licence_is_there_in_full(repository: Path) -> None:
    text = (repository / "LICENSE").read_text()
    assert "Apache License" in text and "END OF TERMS AND CONDITIONS" in text


def test_every_dependency_stands_in_architecture_with_its_reason(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    asked = [*project["dependencies"], *(one for extra in extras for one in extra)]
    names = {re.split(r"[<>=!~\[ ]", one)[0].lower() for one in asked}
    text = (repository / "ARCHITECTURE.md").read_text().lower()
    listed = text[text.index("| package | for |") :]
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\b", listed)] == []


def test_every_dependency_is_pinned(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    asked = [*project["dependencies"], *(one for extra in extras for one in extra)]
    pins = (repository / "constraints.txt").read_text().lower().replace("_", "-").splitlines()
    pinned = {line.partition("==")[0] for line in pins if "==" in line}
    names = {re.split(r"[<>=!~\[ ]", one)[0].lower() for one in asked}
    assert names - pinned == set()
