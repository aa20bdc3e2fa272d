"""Which kernel a guest runs, as far as dom0 can honestly tell: a part of its class.

There are two witnesses. The file that its configuration names: it counts only where it lies in this
dom0 and was not touched since the domain was made here. And the guest itself, through the usual
guest agents: its words are marked `says-`, so that no guest talks itself into a class that others
were seen to be in. Where both agree the word is the file's; where they differ the guest runs
something else than the file. What nobody tells is `kernel-unknown`, `arch-unknown`.

A guest that arrived by migration is judged by the file of the same path on this host.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from agents import guest_words
from agents.guest_facts import guest_class, kernel_path
from agents.kernel_image import Image, read_image
from agents.settings import Settings
from agents.wire import Domain

ROUNDING_S = 1.0
"""xl writes the time of a domain's making in hundredths, from a clock that may be set."""

ENDS = (
    (re.compile(r"[.-](x86_64|amd64)$"), "x86_64"),
    (re.compile(r"[.-](i[3-6]86|[56]86(-pae)?)$"), "i386"),
    (re.compile(r"[.-](aarch64|arm64)$"), "arm64"),
)
"""Distributions name the architecture at the end of a release."""


@dataclass(frozen=True)
class Kernel:
    """A guest's kernel; empty texts where nobody tells. `says`: by the guest's own word alone."""

    release: str = ""
    arch: str = ""
    says: bool = False

    @property
    def words(self) -> str:
        """Two words for the class of a guest."""
        mark = "says-" if self.says else ""
        release = f"{mark}{self.release}" if self.release else "kernel-unknown"
        return f"{release} {f'{mark}{self.arch}' if self.arch else 'arch-unknown'}"


def judged(image: Image | None, made_s: float | None, said: str) -> Kernel:
    """What both witnesses come to."""
    fits = image is not None and made_s is not None and image.changed_s <= made_s + ROUNDING_S
    if fits and image is not None and said in ("", image.release):
        return Kernel(image.release, image.arch)
    arch = next((arch for pattern, arch in ENDS if pattern.search(said)), "")
    return Kernel(said, arch, says=bool(said))


class Kernels:
    """Remembers files and domains between two looks."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._images: dict[str, tuple[tuple[int, ...], Image | None]] = {}
        self._made_s: dict[tuple[int, str], float | None] = {}
        self._classes: dict[int, str] = {}

    def refresh(self, guests: Collection[Domain], configs: dict[int, dict[str, Any]]) -> None:
        """Ask again for these domains, and forget all others."""
        found = [(one, configs[one.domid]) for one in guests if one.domid in configs]
        alive = {(one.domid, one.uuid) for one, _ in found}
        self._made_s = {key: at for key, at in self._made_s.items() if key in alive}
        paths = {kernel_path(config) for _, config in found}
        self._images = {path: kept for path, kept in self._images.items() if path in paths}
        self._classes = {one.domid: self._class(one, config) for one, config in found}

    def class_of(self, domid: int) -> str | None:
        """The class of a guest that was asked for last."""
        return self._classes.get(domid)

    def _class(self, guest: Domain, config: dict[str, Any]) -> str:
        said = guest_words.release(self._settings, guest.domid)
        image = self._image(kernel_path(config))
        made_s = self._made(guest) if image is not None else None
        return f"{guest_class(config)} {judged(image, made_s, said).words}"

    def _made(self, guest: Domain) -> float | None:
        key = (guest.domid, guest.uuid)
        if self._made_s.get(key) is None:
            self._made_s[key] = guest_words.made_s(self._settings, guest.uuid)
        return self._made_s[key]

    def _image(self, path: str) -> Image | None:
        """The file's facts, read once for each version of it."""
        if not path.startswith("/"):  # none is named, or it hangs on where xl was called
            return None
        where = self._settings.path(path)
        try:
            seen = where.stat()
        except (OSError, ValueError):
            return None
        version = (seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
        kept = self._images.get(path)
        if kept is None or kept[0] != version:
            self._images[path] = (version, read_image(where))
        return self._images[path][1]
