"""Times and counts that `advance` keeps to; a simulated fleet divides the times by its speed."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field


class Limits(BaseModel):
    """How long is too long, and how often is too often. Times in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stale_after_s: float = Field(default=30.0, gt=0)  # a report older than this is no ground
    gate_look_s: float = Field(default=3.0, gt=0)  # a step starts on looks as fresh as this
    retry_backoff_s: float = Field(default=30.0, ge=0)  # doubled with every try
    max_tries: int = Field(default=3, ge=1)  # attempts at one move that were really started
    gate_backoff_s: float = Field(default=5.0, ge=0)  # after a host's own gate said no
    held_limit_s: float = Field(default=120.0, gt=0)  # a gate says no for so long: plan anew
    settle_limit_s: float = Field(default=180.0, gt=0)  # nobody can tell for so long: stop
    reboot_limit_s: float = Field(default=1800.0, gt=0)  # a host is not back for so long: stop
    max_lost_hosts: int = Field(default=0, ge=0)  # that do not come back, and the rollout goes on
    comeback_limit_s: float = Field(default=600.0, gt=0)  # back, but without a bridge: block it
    attempt_alarm_s: float = Field(default=3600.0, gt=0)  # runs for so long: say so, never kill
    suspended_alarm_s: float = Field(default=30.0, gt=0)  # a moving guest stands still: say so
    max_replans_in_a_row: int = Field(default=5, ge=1)  # without a step done between them
    max_failed_livepatches: int = Field(default=3, ge=1)  # hosts, after which it stops and asks
    max_mends: int = Field(default=3, ge=1)  # rounds of cleaning up after one step
    crash_budget: float = Field(default=0.005, ge=0, le=1)  # of the guests moved; at least one
    class_budget: float = Field(default=0.005, ge=0, le=1)  # of the moved guests of one class
    crash_doubt: float = Field(default=0.05, gt=0, lt=1)  # of a budget that is called broken
    crash_soak_s: float = Field(default=600.0, gt=0)  # a crash so soon is put down to the move
    watch_days: float = Field(default=30.0, gt=0)  # how long a moved guest is watched
    max_silent_hosts: float = Field(default=0.1, ge=0, le=1)  # more silent at once: stop

    def backoff(self, tries: int) -> timedelta:
        """How long to wait after so many tries: doubles with each, from `retry_backoff_s`."""
        return timedelta(seconds=self.retry_backoff_s * 2 ** max(0, tries - 1))
