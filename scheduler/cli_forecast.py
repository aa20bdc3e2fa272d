"""`xenroll rollout forecast`: when it will have ended, and what would make it end earlier."""

from __future__ import annotations

from scheduler.cli_people import RolloutId, ask, chosen, the_rollout
from scheduler.cli_print import document


def rollout_forecast(rollout: RolloutId = None) -> None:
    """When it ends (p50 and p90), which hosts miss the deadline, and what would make it."""
    api = ask()
    said = api.get(f"/rollouts/{the_rollout(api, rollout)}/forecast")
    if chosen().for_programs:
        print(document(said, chosen()))
        return
    # Only who asks for a forecast waits for numpy.
    from rich.console import Console

    from scheduler.forecast import Forecast
    from scheduler.show_forecast import render

    Console().print(render(Forecast.model_validate(said, extra="ignore")))
