"""The two engines under the checker: which step comes before which, and the heaviest choice."""

from __future__ import annotations

from itertools import combinations
from random import Random

import networkx
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.check_flow import at_most, heaviest
from planner.check_form import order_of
from planner.check_order import Group, Order, nearby
from planner.check_view import View
from planner.plan import Plan
from tests.make import Draft, fleet, host


def random_plan(random: Random, steps: int) -> tuple[Plan, Draft]:
    draft = Draft(fleet([host(f"n{n}") for n in range(steps)]))
    for number in range(steps):
        likely = random.choice([0.05, 0.2])
        draft.reboot(f"n{number}", [s.id for s in draft.steps if random.random() < likely])
    random.shuffle(draft.steps)
    return draft.plan(), draft


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 9))
def test_what_comes_before_what_is_what_the_graph_says(
    seed: int, steps: int, columns_at_a_time: int
) -> None:
    random = Random(seed)
    plan, draft = random_plan(random, steps)
    view = View(draft.fleet, plan, order_of(plan.steps))
    graph = networkx.DiGraph((need, n) for n, needs in enumerate(view.needs) for need in needs)
    graph.add_nodes_from(range(steps))
    numbers = range(steps)
    groups = [
        Group(random.sample(numbers, random.randint(0, steps)), random.choices(numbers, k=5))
        for _ in range(6)
    ]
    answers = Order(view, columns_at_a_time).before(groups)
    for group, answer in zip(groups, answers, strict=True):
        close = nearby(view, group)
        for row in group.rows:
            ancestors = networkx.ancestors(graph, row)
            bits = sum(1 << index for index, c in enumerate(group.columns) if c in ancestors)
            assert answer.get(row, 0) == bits
            assert close[row] | bits == bits


def test_what_follows_from_needs_within_a_group_is_found_nearby() -> None:
    draft = Draft(fleet([host(name) for name in "abcd"]))
    draft.reboot("a").reboot("b", ["reboot:a"]).reboot("c", ["reboot:b"])
    draft.reboot("d", ["reboot:c"])
    view = View(draft.fleet, draft.plan(), order_of(draft.plan().steps))
    assert nearby(view, Group([0, 1], [2])) == {0: 0, 1: 0b01, 2: 0b11}
    assert nearby(view, Group([0], [3])) == {0: 0, 3: 0}, "through a step outside the group"


items = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 31)), max_size=7)


@settings(max_examples=200, deadline=None)
@given(items, st.lists(st.integers(0, 9), min_size=5, max_size=5))
def test_the_heaviest_choice_is_the_best_of_all_choices(
    items: list[tuple[int, int]], costs: list[int]
) -> None:
    def weight(chosen: tuple[int, ...]) -> int:
        brought = 0
        for number in chosen:
            brought |= items[number][1]
        paid = sum(cost for bit, cost in enumerate(costs) if brought >> bit & 1)
        return sum(items[number][0] for number in chosen) - paid

    numbers = range(len(items))
    best = max(
        weight(some) for size in range(len(items) + 1) for some in combinations(numbers, size)
    )
    found = heaviest(items, costs)
    assert found.weight == best == weight(found.chosen)
    assert at_most(items, costs) >= best
