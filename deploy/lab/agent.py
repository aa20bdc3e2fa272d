"""The project's own agent inside the image: its pinned dependencies, from wheels, offline."""

import shutil
import sys
import tomllib
from pathlib import Path

from deploy.lab.layout import PROJECT
from deploy.lab.tools import run

VENV = "/opt/xenroll"
# What the dependencies ask for on Debian 12's Python 3.11.2 alone: pip, which decides by the Python
# it runs under, does not see it from a newer one.
FOR_DEBIAN_PYTHON = ("async-timeout",)


def inputs() -> list[str | Path]:
    """What decides the agent's dependencies."""
    return [str(_dependencies()), PROJECT / "constraints.txt"]


def _dependencies() -> list[str]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    return [*(str(item) for item in project["dependencies"]), *FOR_DEBIAN_PYTHON]


def install(root: Path, folder: Path, log: Path) -> None:
    """A venv in the image; pip runs inside it, but only on wheels fetched outside."""
    wheels = folder / "wheels"
    constraints = ["-c", str(PROJECT / "constraints.txt")]
    run([sys.executable, "-m", "pip", "download", "-q", "--only-binary=:all:", *constraints,
         "-d", str(wheels), *_dependencies()], log)  # fmt: skip
    inside = root / "tmp/wheels"
    shutil.copytree(wheels, inside)
    names = [f"/tmp/wheels/{wheel.name}" for wheel in sorted(inside.glob("*.whl"))]
    run(["chroot", str(root), "python3", "-m", "venv", VENV], log)
    run(["chroot", str(root), f"{VENV}/bin/pip", "install", "-q", "--no-index", "--no-deps",
         *names], log)  # fmt: skip
    run(["chroot", str(root), f"{VENV}/bin/pip", "check"], log)
    shutil.rmtree(inside)
    shutil.rmtree(wheels)
