"""The project's own agent inside the image: a wheel of it, and its pinned dependencies, offline."""

import shutil
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from deploy.lab.layout import FILES, PROJECT
from deploy.lab.tools import run

VENV = "/opt/xenroll"
SERVICE = FILES / "dom0-xenroll-agent"
# What the dependencies ask for on Debian 12's Python 3.11.2 alone: pip, which decides by the Python
# it runs under, does not see it from a newer one.
FOR_DEBIAN_PYTHON = ("async-timeout",)
# What a wheel of the agent alone is made from: a dom0 gets nothing of the planner or the scheduler.
PACKAGE_FILES = ("pyproject.toml", "README.md", "LICENSE")


BUILD_TOOLS = ("setuptools",)
BUILD_WHEELS = "build-wheels"


def inputs() -> list[str | Path]:
    """What decides the agent's dependencies."""
    return [str(_dependencies()), PROJECT / "constraints.txt"]


def own_inputs() -> list[str | Path]:
    """What decides the agent itself."""
    names = (PROJECT / name for name in PACKAGE_FILES)
    return [*names, *_sources(), SERVICE]


def _sources() -> list[Path]:
    return [path for path in sorted((PROJECT / "agents").rglob("*")) if _is_source(path)]


def _is_source(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def _dependencies() -> list[str]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    return [*(str(item) for item in project["dependencies"]), *FOR_DEBIAN_PYTHON]


def install_dependencies(root: Path, folder: Path, log: Path) -> None:
    """A venv in the image; pip runs inside it, but only on wheels fetched outside."""
    wheels = folder / "wheels"
    _download(wheels, _dependencies(), log)
    _download(folder / BUILD_WHEELS, BUILD_TOOLS, log)
    run(["chroot", str(root), "python3", "-m", "venv", VENV], log)
    _install(root, wheels, log)


def _download(folder: Path, wanted: Sequence[str], log: Path) -> None:
    constraints = ["-c", str(PROJECT / "constraints.txt")]
    run([sys.executable, "-m", "pip", "download", "-q", "--only-binary=:all:", *constraints,
         "-d", str(folder), *wanted], log)  # fmt: skip


def install(root: Path, build_wheels: Path, folder: Path, log: Path) -> None:
    """The agent itself, built offline, started at boot once the host is enrolled."""
    package = folder / "package"
    for source in (PROJECT / name for name in PACKAGE_FILES):
        package.mkdir(exist_ok=True)
        shutil.copy(source, package)
    for source in _sources():
        target = package / source.relative_to(PROJECT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    wheels = folder / "wheels"
    run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-index",
         "--find-links", str(build_wheels), "-w", str(wheels), str(package)], log)  # fmt: skip
    shutil.rmtree(package)
    _install(root, wheels, log)
    service = root / "etc/lab/services/xenroll-agent"
    shutil.copy(SERVICE, service)
    service.chmod(0o755)
    (root / "etc/xenroll").mkdir(mode=0o700)


def _install(root: Path, wheels: Path, log: Path) -> None:
    inside = root / "tmp/wheels"
    shutil.move(wheels, inside)
    names = [f"/tmp/wheels/{wheel.name}" for wheel in sorted(inside.glob("*.whl"))]
    pip = ["chroot", str(root), f"{VENV}/bin/pip"]
    run([*pip, "install", "-q", "--no-index", "--no-deps", *names], log)
    run([*pip, "check"], log)
    shutil.rmtree(inside)
