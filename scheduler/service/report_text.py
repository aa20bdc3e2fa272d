"""A report in Markdown, or as one HTML file that needs nothing beside itself. Pure."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from datetime import datetime

from scheduler.progress import StepView
from scheduler.rollout import ENDED, Happening
from scheduler.service import present
from scheduler.service.guard import CONTENT_SECURITY_POLICY
from scheduler.service.problem import LINE_CHARS, short
from scheduler.service.render import ENVIRONMENT, HERE
from scheduler.service.report_plots import BELOW, HEIGHT, LEFT, WIDTH, plots
from scheduler.service.shift import NEXT_HOSTS, Held, NextHost, Report, blocked_first
from scheduler.service.views import RolloutView
from scheduler.veil import markdown

STYLE = (HERE / "pages" / "report.css").read_text()
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = CONTENT_SECURITY_POLICY.replace("style-src 'self'", f"style-src 'sha256-{STYLE_HASH}'")
MINUTE = "%Y-%m-%d %H:%M UTC"
Section = tuple[str, list[str]]


def in_html(said: Report, view: RolloutView) -> str:
    """The report as a page that can be mailed and kept."""
    return ENVIRONMENT.get_template("report.html").render(
        head=view.book.rollout,
        said=said,
        facts=figures(said),
        shift=shift(said),
        sections=sections(said),
        crashes=present.crash_classes(view),
        held=blocked_first(said.held_now),
        style=STYLE,
        plots=plots(view.curve, view.book, said.since),
        size=(WIDTH, HEIGHT, LEFT, BELOW),
    )


def in_markdown(said: Report, view: RolloutView) -> str:
    """The report for a ticket or a chat; names in it cannot become markup."""
    rows = [f"# {_md(said.advisory)}: rollout {_md(said.id)}, {said.state}", ""]
    rows += [f"_{_md(_as_of(said))}_", ""]
    rows += [*(f"- {_md(name)}: {_md(value)}" for name, value in figures(said)), ""]
    rows += _section(_since_words(said), (f"{name}: {value}" for name, value in shift(said)))
    for title, lines in sections(said):
        rows += _section(title, lines)
    rows += _section("Held and blocked", map(_held, blocked_first(said.held_now)))
    rows += _section(
        "Crashed",
        (
            f"{name} on {host} ({one.name}): {why}"
            for one in present.crash_classes(view)
            for name, host, why in one.guests
        ),
    )
    rows += _section("What happened", (_line(one) for one in said.lines))
    return "\n".join(rows) + "\n"


def _as_of(said: Report) -> str:
    return f"as of {said.at:{MINUTE}}"


def _since_words(said: Report) -> str:
    return f"Since {said.since:{MINUTE}}" if said.since else "Since the start"


def figures(said: Report) -> list[tuple[str, str]]:
    """The figures that a report begins with: the whole of the rollout so far."""
    going = said.state not in ENDED
    hosts = ", ".join(f"{count} {state}" for state, count in sorted(said.hosts.items()))
    least = f"the first plan could not do with fewer than {said.moves_lower_bound}"
    often = ", ".join(f"{count} guests {n}x" for n, count in said.moves_of_guests.items())
    found = [
        ("hosts", hosts),
        ("took so far" if going else "took", present.duration(said.took_s)),
        ("expected end", _ends(said) if going else ""),
        ("deadline", f"{said.deadline:{MINUTE}}" if said.deadline else ""),
        (
            "moves",
            f"{said.moves} ({least})",
        ),
        ("moved how often", often),
        ("guests stood still in a move", str(said.blackouts) if said.moves else ""),
        ("attempts that left a guest where it was", str(said.stayed)),
        ("restarted with their hosts", str(len(said.restarted))),
        ("crashed", str(len(said.crashed))),
        ("could not be moved", str(len(said.given_up))),
        ("still shut down", ", ".join(said.down)),
        ("plans", str(said.plans)),
    ]
    return [(name, value) for name, value in found if value]


def _ends(said: Report) -> str:
    if said.ends_p50_at is None:
        return "nothing can be told yet"
    late = f", nine in ten by {said.ends_p90_at:{MINUTE}}" if said.ends_p90_at else ""
    missed = said.deadline and said.ends_p90_at and said.ends_p90_at > said.deadline
    given = f" ({said.provided})" if said.provided else ""
    risk = ": the deadline is at risk" if missed else ""
    return f"{said.ends_p50_at:{MINUTE}}{late}{given}{risk}"


def shift(said: Report) -> list[tuple[str, str]]:
    """What happened since, in figures."""
    since = said.happened
    found = [
        ("hosts fixed", str(since.hosts_fixed)),
        ("moves that arrived", str(since.moves)),
        ("restarted with their hosts", str(since.restarted)),
        ("crashed", ", ".join(since.crashed) or "none"),
        ("newly blocked hosts", ", ".join(since.newly_blocked)),
    ]
    return [(name, value) for name, value in found if value]


def sections(said: Report) -> list[Section]:
    """Under way, decided, next: what who takes over has to know; only what there is."""
    more = said.hosts_left - len(said.next_hosts)
    found: list[Section] = [
        ("Classes of guests that are not moved", [one.words for one in said.quarantined]),
        ("Under way", [_step(one) for one in said.under_way]),
        ("Who decided what", [_line(one) for one in said.decisions]),
        ("What comes next", [_next(one) for one in said.next_hosts]),
    ]
    if said.next_hosts and more > 0 and len(said.next_hosts) == NEXT_HOSTS:
        found[3][1].append(f"and {more} more hosts that are not fixed yet")
    return [(title, lines) for title, lines in found if lines]


def _step(one: StepView) -> str:
    to = f" to {one.destination}" if one.destination else ""
    since = f", for {present.duration(one.since_s)}" if one.since_s is not None else ""
    why = f": {one.reason}" if one.reason else ""
    if one.suspended:
        why += f", suspended since {_clock(one.suspended.since)}"
        why += " (ALARM: for too long)" if one.suspended.overdue else ""
    return f"{one.kind} {one.guest or ''} on {one.host}{to} ({one.state}{since}){why}"


def _next(one: NextHost) -> str:
    when = f", expected {_clock(one.expected_at)}" if one.expected_at else ""
    return f"{one.host} (wave {one.wave}, {one.steps} steps{when})"


def _clock(at: datetime) -> str:
    return f"{at:%H:%M UTC}"


def _line(one: Happening) -> str:
    return f"{one.at:%m-%d %H:%M:%S} {one.kind}: {one.text}"


def _held(one: Held) -> str:
    since = f", for {present.duration(one.since_s)}" if one.since_s is not None else ""
    return (
        f"{one.kind}: {one.host} {one.guest} (owner {one.owner or 'unknown'}{since}): {one.reason}"
    )


def _section(title: str, lines: Iterable[str]) -> list[str]:
    found = [f"- {_md(line)}" for line in lines]
    return [f"## {_md(title)}", "", *found, ""] if found else []


def _md(text: str) -> str:
    return markdown(short(text, LINE_CHARS))
