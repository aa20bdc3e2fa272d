"""`/metrics`: the fleet and its rollouts for Prometheus. No guest's name is ever a label.

Made from the same views as the pages whenever Prometheus asks, so nothing is counted twice and a
restart of the service forgets nothing: counters and histograms are sums over the stored records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from agents.wire import Kind
from scheduler.comeback import LACKING
from scheduler.rollout import ENDED, HostState, RolloutState
from scheduler.service.metrics_machinery import machinery
from scheduler.service.metrics_moves import crashes, standstills
from scheduler.service.metrics_rollout import RolloutFigures, figures
from scheduler.service.parts import Parts, Service, Viewer
from scheduler.service.views import FleetView, RolloutView

router = APIRouter()

KEPT_ENDED = 8
"""Ended rollouts that keep their series; older ones have been scraped long ago."""
SECONDS = (5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
PLANNING_S = (0.1, 0.5, 1, 2, 5, 10, 30)
MOVES = (1, 2, 3, 4, 6, 8, 12)


@router.get("/metrics")
def metrics(who: Viewer, parts: Parts) -> Response:
    """Everything, in Prometheus' text format; a token of any role is needed."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(parts))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class _Collector:
    """One scrape."""

    def __init__(self, parts: Service) -> None:
        self._parts = parts

    def collect(self) -> Iterator[Metric]:
        """Every metric family."""
        views = _shown(self._parts)
        fleet = self._parts.views.fleet()
        yield from _fleet(fleet, views)
        yield from _rollouts(views)
        found = [figures(view, self._parts.limits) for view in views]
        yield from _outcomes(found)
        yield crashes(found, fleet)
        yield from standstills(views)
        yield from machinery(self._parts, fleet)


def _shown(parts: Service) -> list[RolloutView]:
    """Rollouts that go on, and the newest of the ended ones."""
    heads = [parts.store.head(name) for name in parts.store.ids()]
    ended = [head.id for head in heads if head.state in ENDED][-KEPT_ENDED:]
    return [
        parts.views.rollout(head.id)
        for head in heads
        if head.state not in ENDED or head.id in ended
    ]


def _gauge(
    name: str, words: str, labels: Sequence[str], rows: Iterable[tuple[Sequence[str], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, words, labels=list(labels))
    for values, number in rows:
        family.add_metric(list(values), number)
    return family


def _summed(rows: Iterable[tuple[str, float]]) -> list[tuple[Sequence[str], float]]:
    """One row for each label: several rollouts may be of one advisory, over different hosts."""
    sums: dict[str, float] = {}
    for label, number in rows:
        sums[label] = sums.get(label, 0.0) + number
    return [([label], number) for label, number in sums.items()]


def _fleet(fleet: FleetView, views: Sequence[RolloutView]) -> Iterator[Metric]:
    states = Counter("silent" if host in fleet.trouble else "reporting" for host in fleet.hosts)
    going = [view for view in views if view.progress.state not in ENDED]
    for view in going:
        states.update(str(host.state) for host in view.progress.hosts)
    rows = [([state], number) for state, number in sorted(states.items())]
    yield _gauge("xenroll_hosts", "Hosts by state.", ["state"], rows)
    yield _gauge(
        "xenroll_hosts_exposed",
        "Hosts of rollouts that go on, not yet on a fixed build.",
        ["advisory"],
        _summed((v.progress.advisory, v.curve.points[-1].hosts) for v in going),
    )
    yield _gauge(
        "xenroll_vms_exposed",
        "Guests on such hosts.",
        ["advisory"],
        _summed(
            (v.progress.advisory, v.curve.points[-1].guests) for v in going if v.curve.knows_guests
        ),
    )
    twice = sum(len(places) > 1 for places in fleet.where.values())
    yield _gauge("xenroll_vms_running_twice", "Guest names that two hosts show.", [], [([], twice)])
    alone = sum(g.monitored is False for r in fleet.reports.values() for g in r.guests)
    yield _gauge("xenroll_vms_unmonitored", "Guests that xl watches no more.", [], [([], alone)])
    yield _gauge(
        "xenroll_agent_last_report_timestamp_seconds",
        "When the host's newest report was taken, by the host's clock.",
        ["host"],
        [([host], report.taken_at.timestamp()) for host, report in fleet.reports.items()],
    )


def _rollouts(views: Sequence[RolloutView]) -> Iterator[Metric]:
    yield _gauge(
        "xenroll_rollout_state",
        "1 for the state that a rollout is in.",
        ["rollout", "state"],
        [
            ([v.progress.id, str(state)], v.progress.state is state)
            for v in views
            for state in RolloutState
        ],
    )
    yield _gauge(
        "xenroll_rollout_hosts",
        "A rollout's hosts by state.",
        ["rollout", "state"],
        [
            ([v.progress.id, str(state)], sum(h.state is state for h in v.progress.hosts))
            for v in views
            for state in HostState
        ],
    )
    yield _gauge(
        "xenroll_hosts_closed",
        "Hosts that are closed to new guests, by the state of their rollout.",
        ["rollout", "state"],
        [
            ([v.progress.id, str(v.progress.state)], sum(h.closed for h in v.progress.hosts))
            for v in views
        ],
    )
    yield from _times(views)
    yield from _slow(views)


def _times(views: Sequence[RolloutView]) -> Iterator[Metric]:
    yield _gauge(
        "xenroll_rollout_eta_seconds",
        "Seconds until the last step has ended, by the forecast.",
        ["rollout", "quantile"],
        [
            ([v.progress.id, quantile], left_s)
            for v in views
            for quantile, left_s in (("0.5", v.curve.left_p50_s), ("0.9", v.curve.left_p90_s))
            if left_s is not None
        ],
    )
    yield _gauge(
        "xenroll_rollout_deadline_timestamp_seconds",
        "When every host must be safe.",
        ["rollout"],
        [([v.progress.id], v.curve.deadline_at_s) for v in views if v.curve.deadline_at_s],
    )
    yield _gauge(
        "xenroll_rollout_late_hosts",
        "Hosts that are safe after the deadline in one run of ten or more.",
        ["rollout"],
        [([v.progress.id], float(seen.late_hosts)) for v in views if (seen := v.progress.outlook)],
    )
    yield _gauge(
        "xenroll_rollout_held_steps",
        "Steps that a gate holds.",
        ["rollout"],
        [([v.progress.id], len(v.progress.held)) for v in views],
    )
    yield _gauge(
        "xenroll_rollout_hosts_not_whole",
        "Hosts that are back from their reboot, and lack something that guests need.",
        ["rollout"],
        [([v.progress.id], _not_whole(v)) for v in views],
    )


def _not_whole(view: RolloutView) -> float:
    waited_for = sum(step.outcome == LACKING for step in view.book.running())
    return float(waited_for + sum(bool(host.lacking) for host in view.book.hosts.values()))


def _slow(views: Sequence[RolloutView]) -> Iterator[Metric]:
    going = [view for view in views if view.progress.state not in ENDED]
    yield _gauge(
        "xenroll_step_running_seconds_max",
        "How long the longest step that runs has run.",
        ["rollout", "kind"],
        [([v.progress.id, str(kind)], _longest_s(v, kind)) for v in going for kind in Kind],
    )
    yield _gauge(
        "xenroll_migrations_in_flight",
        "Moves under way, to hosts that are fixed already or still exposed.",
        ["direction"],
        [([direction], number) for direction, number in _in_flight(going).items()],
    )


def _longest_s(view: RolloutView, kind: Kind) -> float:
    return max((s.since_s or 0.0 for s in view.progress.in_flight if s.kind is kind), default=0.0)


def _in_flight(views: Sequence[RolloutView]) -> dict[str, int]:
    counts = {"to_fixed": 0, "to_exposed": 0}
    for view in views:
        for step in view.progress.in_flight:
            if step.kind is Kind.MOVE and step.destination is not None:
                host = view.book.hosts.get(step.destination)
                safe = host is not None and host.state in (HostState.FIXED, HostState.UNAFFECTED)
                counts["to_fixed" if safe else "to_exposed"] += 1
    return counts


def _outcomes(found: Sequence[RolloutFigures]) -> Iterator[Metric]:
    moves = CounterMetricFamily(
        "xenroll_migrations", "Attempts at moves that ended.", labels=["outcome", "reason"]
    )
    total: Counter[tuple[str, str]] = sum((one.outcomes for one in found), Counter())
    for (outcome, reason), number in sorted(total.items()):
        moves.add_metric([outcome, reason], number)
    yield moves
    yield _gauge(
        "xenroll_failure_budget_remaining_ratio",
        "Share of the crash budget that is left; below 0: exceeded.",
        ["rollout"],
        [([one.rollout], one.budget_left) for one in found],
    )
    yield from _histograms(found)


def _histograms(found: Sequence[RolloutFigures]) -> Iterator[Metric]:
    moves_s = [seconds for one in found for seconds in one.move_s]
    drains_s = [seconds for one in found for seconds in one.drain_s]
    reboots_s = [seconds for one in found for seconds in one.reboot_s]
    for name, words, values in (
        ("migration_duration", "Moves, from start to arrival.", moves_s),
        ("host_drain_duration", "From a host's first move to its reboot.", drains_s),
        ("host_reboot_duration", "From the order to being back.", reboots_s),
    ):
        family = HistogramMetricFamily(f"xenroll_{name}_seconds", words)
        family.add_metric([], *_buckets(values, SECONDS))
        yield family
    often = HistogramMetricFamily(
        "xenroll_vm_moves", "How often guests were moved in a rollout.", labels=["rollout"]
    )
    for one in found:
        often.add_metric([one.rollout], *_buckets(one.moves_of_guests, MOVES))
    yield often
    yield from _plans([one for one in found if one.planning_s is not None])


def _plans(found: Sequence[RolloutFigures]) -> Iterator[Metric]:
    family = HistogramMetricFamily("xenroll_plan_duration_seconds", "Planning of newest plans.")
    family.add_metric([], *_buckets([one.planning_s or 0.0 for one in found], PLANNING_S))
    yield family
    statuses = Counter("blocked" if one.blocked_hosts else "feasible" for one in found)
    rows = [([status], float(statuses[status])) for status in ("feasible", "blocked")]
    yield _gauge("xenroll_plan_status", "Newest plans by what they reach.", ["status"], rows)


def _buckets(
    values: Sequence[float], bounds: Sequence[float]
) -> tuple[list[tuple[str, float]], float]:
    """Cumulative counts up to each bound, and the sum."""
    rows = [(str(float(bound)), float(sum(v <= bound for v in values))) for bound in bounds]
    return [*rows, ("+Inf", float(len(values)))], float(sum(values))
