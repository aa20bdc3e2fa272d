"""The states of rollouts and steps, and the tables that say which may follow which. Pure."""

from __future__ import annotations

from enum import StrEnum


class RolloutState(StrEnum):
    """What a rollout is doing, one line of meaning each."""

    AWAITING = "awaiting"  # written down; a person has to let it begin (`scheduler.approval`)
    RUNNING = "running"  # steps are handed out as their needs end
    PAUSED = "paused"  # a person paused it: no new step, running ones end
    STOPPED = "stopped"  # doubt stopped it: no new step until a person resumes
    REPLANNING = "replanning"  # the world differs: the rest is planned anew around what runs
    ABORTING = "aborting"  # no new step; what runs ends, then closed hosts open
    ABORTED = "aborted"  # ended by a person
    DONE = "done"  # nothing is left to do; blocked hosts are listed


NEXT: dict[RolloutState, frozenset[RolloutState]] = {
    RolloutState.AWAITING: frozenset({RolloutState.RUNNING, RolloutState.ABORTING}),
    RolloutState.RUNNING: frozenset(
        {
            RolloutState.PAUSED,
            RolloutState.STOPPED,
            RolloutState.REPLANNING,
            RolloutState.ABORTING,
            RolloutState.DONE,
        }
    ),
    RolloutState.PAUSED: frozenset({RolloutState.RUNNING, RolloutState.ABORTING}),
    RolloutState.STOPPED: frozenset(
        {RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.ABORTING}
    ),
    RolloutState.REPLANNING: frozenset(
        {
            RolloutState.RUNNING,
            RolloutState.PAUSED,
            RolloutState.STOPPED,
            RolloutState.ABORTING,
            RolloutState.DONE,
        }
    ),
    RolloutState.ABORTING: frozenset({RolloutState.ABORTED}),
    RolloutState.ABORTED: frozenset(),
    RolloutState.DONE: frozenset(),
}
ENDED = frozenset({RolloutState.ABORTED, RolloutState.DONE})


class StepState(StrEnum):
    """How far a step has come, one line of meaning each."""

    WAITING = "waiting"  # its needs have not ended, or a limit or a gate holds it
    ORDERED = "ordered"  # an attempt is written down for its host, not yet seen to start
    RUNNING = "running"  # the host says that it started
    SETTLING = "settling"  # it ended; fresh looks at both hosts are awaited
    MENDING = "mending"  # what it left behind is being cleaned up
    DONE = "done"  # it had its effect, or has none to have any more
    FAILED = "failed"  # it cannot be done as planned: the rest is planned anew without it
    SKIPPED = "skipped"  # a newer plan, or an abort, took its place


STEP_NEXT: dict[StepState, frozenset[StepState]] = {
    StepState.WAITING: frozenset(
        {StepState.ORDERED, StepState.DONE, StepState.FAILED, StepState.SKIPPED}
    ),
    StepState.ORDERED: frozenset(
        {StepState.RUNNING, StepState.SETTLING, StepState.WAITING, StepState.DONE, StepState.FAILED}
    ),
    StepState.RUNNING: frozenset(
        {StepState.SETTLING, StepState.WAITING, StepState.DONE, StepState.FAILED}
    ),
    StepState.SETTLING: frozenset(
        {StepState.MENDING, StepState.DONE, StepState.WAITING, StepState.FAILED}
    ),
    StepState.MENDING: frozenset({StepState.SETTLING, StepState.FAILED}),
    StepState.DONE: frozenset(),
    StepState.FAILED: frozenset({StepState.SKIPPED}),
    StepState.SKIPPED: frozenset(),
}
UNDER_WAY = frozenset({StepState.ORDERED, StepState.RUNNING, StepState.SETTLING, StepState.MENDING})
