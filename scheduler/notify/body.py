"""Events as messages: our own JSON, Alertmanager's API v2, Slack's incoming webhooks. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import quote

from scheduler.notify.event import Event, severity_of
from scheduler.notify.targets import TargetKind
from scheduler.text import plain

SCHEMA = "xenroll.event/1"
TEXT_CHARS = 1000
ALERT_LASTS = timedelta(hours=1)
"""An event is a moment, an alert lasts: so long it is shown, unless another event ends it."""

ENDS = {
    "resumed": ("stopped", "paused"),
    "back": ("silent", "aside"),
    "monitored": ("unmonitored",),
}
"""Kind -> the kinds whose alerts it ends."""

SIGN = {"critical": "\U0001f534", "warning": "\U0001f7e0", "info": "\U0001f535", "debug": "\u26aa"}


def body(kind: TargetKind, event: Event, dashboard_url: str) -> str:
    """The message of this event in the form that the target understands, not yet veiled."""
    return MAKERS[kind](event, _link(event, dashboard_url))


def _link(event: Event, dashboard_url: str) -> str:
    base = dashboard_url.rstrip("/")
    return f"{base}/rollouts/{quote(event.rollout, safe='')}" if base and event.rollout else base


def _said(text: str | None) -> str:
    """A text from hosts and people: printable, and not longer than a message should be."""
    return plain((text or "")[:TEXT_CHARS])


def _json(event: Event, link: str) -> str:
    said = {
        "schema": SCHEMA,
        "id": event.id,
        "type": f"xenroll.{event.kind}",
        "severity": str(event.severity),
        "at": event.at.isoformat(),
        "rollout": event.rollout,
        "advisory": event.advisory,
        "text": _said(event.text),
        "host": event.host and _said(event.host),
        "guest": event.guest and _said(event.guest),
        "owner": _said(event.owner),
        "step": event.step,
        "due_at": event.due_at and event.due_at.isoformat(),
        "link": link,
    }
    return json.dumps(said)


def _alertmanager(event: Event, link: str) -> str:
    alerts = [_alert(event, event.kind, link)]
    for ended in ENDS.get(event.kind, ()):
        over = {"endsAt": event.at.isoformat(), "startsAt": event.at.isoformat()}
        alerts.append(_alert(event, ended, link) | over)
    return json.dumps(alerts)


def _alert(event: Event, kind: str, link: str) -> dict[str, object]:
    """Labels say which alert it is: another event of the same labels goes on with it."""
    labels = {
        "alertname": f"XenrollEvent{kind.title().replace('_', '')}",
        "severity": str(severity_of(kind)),
        "rollout": event.rollout,
        "host": _said(event.host),
        "guest": _said(event.guest),
    }
    said: dict[str, object] = {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": {
            "summary": f"{event.rollout or 'xenroll'}: {kind}",
            "description": _said(event.text),
            "advisory": event.advisory,
            "owner": _said(event.owner),
        },
        "startsAt": event.at.isoformat(),
        "endsAt": (event.at + ALERT_LASTS).isoformat(),
    }
    return said | ({"generatorURL": link} if link else {})


def _slack(event: Event, link: str) -> str:
    """`&`, `<` and `>` are all that Slack takes for markup that can call people."""
    about = ", ".join(_said(one) for one in (event.guest, event.host) if one)
    parts = [f"{SIGN[event.severity]} {event.advisory or 'xenroll'} {event.rollout}".rstrip()]
    parts += [f"{event.kind}: {_said(event.text)}", f"({about})" if about else ""]
    text = " · ".join(part for part in parts if part)
    for bare, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(bare, safe)
    return json.dumps({"text": f"{text} {link}".rstrip()})


MAKERS: dict[TargetKind, Callable[[Event, str], str]] = {
    TargetKind.JSON: _json,
    TargetKind.ALERTMANAGER: _alertmanager,
    TargetKind.SLACK: _slack,
}
