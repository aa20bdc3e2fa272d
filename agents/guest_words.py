"""What stands in xenstore of a guest: its own words, and when its domain was made here.

A guest may write anything. What it says is bounded and cleaned before it is repeated, and nothing
that it writes can spoil its host's report.
"""

from __future__ import annotations

from agents import xl
from agents.command import Failed, Garbage, Missing, run
from agents.kernel_image import cleaned
from agents.settings import Settings


def _read(settings: Settings, path: str) -> str:
    """A node's value; empty where nothing is asked, or nothing can be read there."""
    if not settings.xenstore_read:
        return ""
    try:
        return run(xl.xenstore_node(settings, path), settings.xl_timeout_s).stdout.strip()
    except (Missing, Failed, Garbage):  # no such program or node, or no text: not known
        return ""


def cannot_suspend(settings: Settings, domid: int) -> bool:
    """The guest's kernel says so; one that says nothing may still be able to."""
    return _read(settings, f"/local/domain/{domid}/control/feature-suspend") == "0"


def release(settings: Settings, domid: int) -> str:
    """The release of its kernel, as guest agents write it (`uname -r`); empty: it does not say."""
    return cleaned(_read(settings, f"/local/domain/{domid}/data/os_uname"))


def made_s(settings: Settings, uuid: str) -> float | None:
    """When its domain was made on this host, by dom0's clock: xl's word, not the guest's."""
    try:
        return float(_read(settings, f"/vm/{uuid}/start_time"))
    except ValueError:
        return None
