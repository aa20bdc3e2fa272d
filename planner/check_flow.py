"""The heaviest choice of items where each item also brings costs that several may share.

Items have a weight and a set of costs (a number with a bit for each); a choice weighs its items
less every cost that one of them brings, once. This is the maximum-weight closure of J.-C. Picard
(Management Science 22, 1976): send as much as possible of the items' weights through the costs
that they bring; what cannot be sent is the weight of the heaviest choice, and the smallest cut
of the flow shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice's weight and the items in it, by number, ascending."""

    weight: int
    chosen: tuple[int, ...]


def bits_of(mask: int) -> list[int]:
    """The numbers of the bits that are set, ascending."""
    found = []
    while mask:
        lowest = mask & -mask
        found.append(lowest.bit_length() - 1)
        mask ^= lowest
    return found


def at_most(items: Sequence[tuple[int, int]], costs: Sequence[int]) -> int:
    """A weight that no choice exceeds; often the heaviest choice's own.

    `items` are pairs of weight and costs. Any flow proves such a figure: this one fills the items
    with the fewest costs first, and takes of each the costs that the fewest others bring.
    """
    left = list(costs)
    unsent = sum(weight for weight, mask in items if not mask)
    brought = [0] * len(costs)
    merged = _merged(items)
    for mask in merged:
        for bit in bits_of(mask):
            brought[bit] += 1
    for mask in sorted(merged, key=int.bit_count):
        weight = merged[mask]
        for bit in sorted(bits_of(mask), key=brought.__getitem__):
            sent = min(weight, left[bit])
            left[bit] -= sent
            weight -= sent
        unsent += weight
    return unsent


def heaviest(items: Sequence[tuple[int, int]], costs: Sequence[int]) -> Choice:
    """The heaviest choice, exactly; of equal ones, one with few items."""
    # Most plans never come here, and importing takes longer than checking a small plan.
    import networkx

    merged = _merged(items)
    graph: networkx.DiGraph[Any] = networkx.DiGraph()
    graph.add_nodes_from(("from", "to"))
    for mask, weight in merged.items():
        graph.add_edge("from", ("items", mask), capacity=weight)
        for bit in bits_of(mask):
            graph.add_edge(("items", mask), ("cost", bit))
            graph.add_edge(("cost", bit), "to", capacity=costs[bit])
    sent, (near, _) = networkx.minimum_cut(graph, "from", "to")
    chosen = tuple(n for n, (_, mask) in enumerate(items) if not mask or ("items", mask) in near)
    free = sum(weight for weight, mask in items if not mask)
    return Choice(sum(merged.values()) - int(sent) + free, chosen)


def _merged(items: Sequence[tuple[int, int]]) -> dict[int, int]:
    """The weight of all items that bring the same costs; those that bring none left out."""
    merged: dict[int, int] = {}
    for weight, mask in items:
        if mask:
            merged[mask] = merged.get(mask, 0) + weight
    return merged
