"""Whether more guests crash than the budget allows, judged after every single crash. Pure.

The question is asked again and again while a rollout runs, of every class of guests. A test with
a fixed error (an exact binomial one, say) that is asked a thousand times gives many times its
error. So the evidence is a *betting* one, which may be asked as often as one likes:

    E(k, n) = integral over p of  [p/b]^k [(1-p)/(1-b)]^(n-k)  dW(p)

for k crashes in n moves and the budget b: how much more likely the moves are under crash rates
above the budget than under the budget itself, averaged over W, a Beta(1, 20) distribution cut off
below b. If each move crashes a guest with a probability of at most b, given all that went before
(moves need not be alike, nor independent), E is a supermartingale that starts at 1, and the chance
that it *ever* reaches 1/doubt is at most `doubt` (Ville's inequality; Robbins, Ann. Math. Stat. 41,
1970). W says where we look: mostly at a few per cent. With doubt 0.05 and budget 0.5 % two
crashes in at most 27 moves are too many, or three in at most 74; a single one never is.

Guests that were moved and may still crash count as if they had not: E grows with k, so this only
makes it smaller, and the bound holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from agents.wire import Kind
from scheduler.binomial import at_most, interval, percent
from scheduler.draft import Draft
from scheduler.limits import Limits
from scheduler.rollout import StepState

PRIOR = 20
"""Of Beta(1, 20): mean 4.8 %. An integer, so that the integral is a finite sum."""


def evidence(crashed: int, moved: int, budget: float) -> float:
    """E(k, n): 1 says nothing, 20 says that the budget is broken with at most 1 in 20 of doubt.

    With a = 1, integer PRIOR the integral is a beta function times a binomial sum.
    """
    if budget >= 1:
        return 1.0
    if budget <= 0 and crashed:
        return math.inf
    survived, all_of_it = moved - crashed, moved + PRIOR
    log_beta = (
        math.log(PRIOR)
        + math.lgamma(crashed + 1)
        + math.lgamma(survived + PRIOR)
        - math.lgamma(all_of_it + 1)
    )
    log_cut = math.log(at_most(crashed, all_of_it, budget)) - PRIOR * math.log1p(-budget)
    log_null = survived * math.log1p(-budget) + (crashed * math.log(budget) if crashed else 0.0)
    return math.exp(min(700.0, log_beta + log_cut - log_null))


def exceeded(crashed: int, moved: int, budget: float, doubt: float) -> bool:
    """Whether the budget is broken beyond this doubt."""
    return evidence(crashed, moved, budget) >= 1 / doubt


def in_words(crashed: int, moved: int, budget: float) -> str:
    """`3 of 40 moved guests crashed: 7.5 % (95 %: 1.6 to 20 %), the budget is 0.5 %`."""
    low, high = interval(crashed, moved)
    share = crashed / moved if moved else 0.0
    return (
        f"{crashed} of {moved} moved guests crashed: {percent(share)} % "
        f"(95 %: {percent(low)} to {percent(high)} %), the budget is {percent(budget)} %"
    )


def over_budget(draft: Draft, limits: Limits) -> str:
    """Why a rollout has to stop: its budget is spent, or what is seen says that it will be.

    Spent: as many crashes as the budget allows for all the moves that were planned, and one more.
    An empty text: it has not.
    """
    guests = {**draft.book.guests, **draft.guests}
    crashed = sum(guest.crashed for guest in guests.values())
    allowed = max(1, math.ceil(limits.crash_budget * draft.rollout.planned_moves))
    if crashed > allowed:
        return f"{crashed} guests crashed, more than the budget of {allowed}"
    if exceeded(crashed, moved(draft), limits.crash_budget, limits.crash_doubt):
        return in_words(crashed, moved(draft), limits.crash_budget)
    return ""


def moved(draft: Draft) -> int:
    """Moves that had their effect, with what this draft adds."""
    return sum(_arrived(state, outcome) for state, outcome in _moves(draft))


def _moves(draft: Draft) -> Iterable[tuple[StepState, str]]:
    steps = {**draft.book.steps, **draft.steps}
    return ((s.state, s.outcome) for s in steps.values() if s.kind is Kind.MOVE)


def _arrived(state: StepState, outcome: str) -> bool:
    return state is StepState.DONE and outcome in ("moved", "crashed")
