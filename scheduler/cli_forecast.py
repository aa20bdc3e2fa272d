"""`xenroll rollout forecast`: when it will have ended, and what would make it end earlier."""

from __future__ import annotations

from typing import Annotated

import typer

from scheduler.cli_ask import Api, Refused
from scheduler.cli_people import RolloutId, ask, chosen, the_rollout
from scheduler.cli_print import document, print_whole

IfPaused = Annotated[
    float | None,
    typer.Option("--if-paused-s", min=1, max=1e7, help="Say what a pause of so long costs."),
]


def rollout_forecast(rollout: RolloutId = None, if_paused_s: IfPaused = None) -> None:
    """When it ends (p50 and p90), which hosts miss the deadline, and what would make it."""
    api = ask()
    path = f"/rollouts/{the_rollout(api, rollout)}"
    said = api.get(f"{path}/forecast")
    cost = api.get(f"{path}/pause-cost", for_s=if_paused_s) if if_paused_s else None
    if chosen().for_programs:
        print(document(said | {"pause": cost} if cost else said, chosen()))
        return
    # Only who asks for a forecast waits for numpy.
    from scheduler.forecast import Forecast
    from scheduler.show_forecast import render

    print_whole(render(Forecast.model_validate(said, extra="ignore")))
    for line in _pause_lines(cost) if cost else ():
        print(line)


def pause_costs(api: Api, rollout_id: str) -> list[str]:
    """What the pause that holds already costs; that nobody can tell is no reason to fail."""
    try:
        return _pause_lines(api.get(f"/rollouts/{rollout_id}/pause-cost"))
    except Refused as refused:
        return [f"what it costs cannot be told: {'; '.join(refused.lines)}"]


def _pause_lines(cost: object) -> list[str]:
    from scheduler.forecast_pause import PauseCost
    from scheduler.show_pause import lines

    return list(lines(PauseCost.model_validate(cost, extra="ignore")))
