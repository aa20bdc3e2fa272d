"""`make run`: roll an example fleet for an advisory, and watch.

python -m scheduler.demo [--resume] [--fleet FILE] [--speed N] [--state-dir DIR]
                         [--trouble one|class] [--mend]
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from scheduler.demo.layout import Places
from scheduler.demo.run import DemoError, Wish, mend_guests, run
from scheduler.demo.stage import StageError
from scheduler.embedded import ServerError

EXAMPLE = Path(__file__).parents[2] / "deploy" / "examples" / "demo-fleet.json"


def parser() -> argparse.ArgumentParser:
    """What can be said to the demo."""
    made = argparse.ArgumentParser(
        prog="make run",
        description="Roll a simulated fleet with the real scheduler, agents and workers.",
    )
    made.add_argument("--resume", action="store_true", help="go on with the run that was ended")
    made.add_argument("--fleet", type=Path, default=EXAMPLE, help="a fleet file (%(default)s)")
    made.add_argument(
        "--speed", type=float, default=90.0, help="simulated seconds per real one (%(default)s)"
    )
    made.add_argument(
        "--state-dir", type=Path, default=Path(".state"), help="where it keeps everything"
    )
    made.add_argument(
        "--trouble",
        choices=("one", "class"),
        default="one",
        help="how many guests of the old kernel crash when they are moved: one, or the whole class",
    )
    made.add_argument(
        "--mend", action="store_true", help="beside a run: guests crash no more when they are moved"
    )
    return made


def main(argv: list[str]) -> int:
    """Exit code 0: the fleet is fixed and every guest that can live runs once; 1: it is not;
    2: it could not be tried; 130: ended by Ctrl-C.
    """
    said = parser().parse_args(argv)
    wish = Wish(
        places=Places(said.state_dir.resolve()),
        fleet_file=said.fleet,
        speed=said.speed,
        resume=said.resume,
        redis_url=os.environ.get("XENROLL_REDIS_URL") or None,
        whole_class=said.trouble == "class",
    )
    try:
        return mend_guests(wish.places) if said.mend else run(wish)
    except (DemoError, ServerError, StageError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
