"""Harmless live patches for the hypervisor of `xenbuild`: two of Xen's own test payloads.

The first makes `xl info` say "Hello World" where the end of Xen's version stands. They fit that one
build: the build id of its `xen-syms` is in them. Xen itself is not compiled again for them.
"""

import shutil
from functools import partial
from pathlib import Path

from deploy.lab.cache import Stage, built
from deploy.lab.layout import FILES, Layout
from deploy.lab.tools import Say, run
from deploy.lab.xenbuild import xen_with_shadow_paging

NAME = "xen_hello_world"
STACKED = "xen_bye_world"
"""Another one of Xen's tests, which is applied on the first and depends on it."""
RULES = FILES / "livepatch.mk"


def payload(layout: Layout, say: Say) -> tuple[Path, Path]:
    """(the hypervisor, the live patch that fits it), built as far as they are not there; the one
    on top of it lies beside."""
    xen = xen_with_shadow_paging(layout, say)
    inputs: list[str | Path] = [Path(__file__), RULES, xen.name]
    folder = built(layout.cache, Stage("livepatch", inputs, partial(_build, xen)), say)
    return xen / "xen", folder / f"{NAME}.livepatch"


def _build(xen: Path, folder: Path) -> None:
    log = folder / "log"
    [description] = xen.glob("xen_*.dsc")
    source = folder / "source"
    run(["dpkg-source", "--no-check", "-x", str(description), str(source)], log)
    tree = source / "xen"
    shutil.copy(xen / "config", tree / ".config")
    shutil.copy(xen / "xen-syms", tree)
    make = ["make", "-s", "-C", str(tree), "XEN_VENDORVERSION=-lab"]
    run([*make, "olddefconfig"], log)
    run([*make, "-f", "Makefile", "-f", str(RULES), "payload"], log)
    for name in (NAME, STACKED):
        shutil.copy(tree / f"test/livepatch/{name}.livepatch", folder)
    shutil.rmtree(source)
