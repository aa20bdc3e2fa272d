"""What `/metrics` says of guests that crash or stand still in moves. No guest's name is a label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from scheduler.rollout import ENDED
from scheduler.service.metrics_rollout import RolloutFigures, class_label
from scheduler.service.views import FleetView, RolloutView

BLACKOUT_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)

MOST = "Moved guests by how long they stood still, at most, by the source's clock."
LEAST = "The same, at least: the truth lies between the two."


def crashes(found: Sequence[RolloutFigures], fleet: FleetView) -> Metric:
    """How many guests crashed, for every class of the fleet, 0 too.

    Prometheus sees an increase only where the class was there before its first crash.
    """
    named = fleet.guest_classes
    classes = {named.get(guest.name) or guest.guest_class for _, guest in fleet.guests}
    counts = Counter({class_label(name): 0 for name in classes})
    for one in found:
        counts.update(one.crashes)
    family = CounterMetricFamily(
        "xenroll_vm_crashes", "Guests that crashed in rollouts.", labels=["kernel_class"]
    )
    for name, number in sorted(counts.items()):
        family.add_metric([name], number)
    return family


def standstills(views: Sequence[RolloutView]) -> Iterator[Metric]:
    """How long it took in moves that are over; and whose guests stand still now."""
    found = [step.blackout for view in views for step in view.book.steps.values() if step.blackout]
    yield _histogram("xenroll_migration_blackout_seconds", MOST, [b.at_most_s for b in found])
    least = [one.at_least_s for one in found]
    yield _histogram("xenroll_migration_blackout_least_seconds", LEAST, least)
    longest = GaugeMetricFamily(
        "xenroll_migration_suspended_seconds_max",
        "For how long the guest has stood still that does so for longest in a move now; 0: none.",
        labels=["rollout"],
    )
    overdue = GaugeMetricFamily(
        "xenroll_migration_suspended_overdue",
        "Guests that stand still in a move for longer than their memory and the rate explain.",
        labels=["rollout"],
    )
    for view in views:
        if view.progress.state in ENDED:
            continue
        now = [step.suspended for step in view.progress.in_flight if step.suspended]
        longest.add_metric([view.progress.id], max((one.for_s for one in now), default=0.0))
        overdue.add_metric([view.progress.id], float(sum(one.overdue for one in now)))
    yield longest
    yield overdue


def _histogram(name: str, words: str, values: Sequence[float]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, words)
    rows = [(str(bound), float(sum(v <= bound for v in values))) for bound in BLACKOUT_S]
    family.add_metric([], [*rows, ("+Inf", float(len(values)))], float(sum(values)))
    return family
