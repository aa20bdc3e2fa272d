"""`xenroll plan` and `xenroll check` as a person calls them: exit codes, files, messages."""

from __future__ import annotations

import gzip
import json
import os
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from planner.check import problems
from planner.fleet import Fleet
from planner.plan import load_plan, plan_json
from tests.broken import change, example
from tests.fleets import large_fleet
from tests.make import fleet, fleet_json, guest, host, sha256

ROOT = Path(__file__).resolve().parent.parent
Result = subprocess.CompletedProcess[bytes]


@pytest.fixture(autouse=True)
def in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def xenroll(*arguments: str, stdin: bytes = b"") -> Result:
    """The command in a process of its own; no error of it is a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "scheduler", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"},
        input=stdin,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done


def errors(done: Result, code: int = 2) -> list[str]:
    """The lines on stderr of a command that ended with this code and printed nothing else."""
    assert (done.returncode, done.stdout) == (code, b""), done
    return done.stderr.decode().splitlines()


def save(seen: Fleet, name: str = "fleet.json") -> str:
    Path(name).write_bytes(fleet_json(seen))
    return name


def two_hosts() -> Fleet:
    """Two hosts with room for each other's guest, and a policy without waves to think of."""
    return fleet([host("n1"), host("n2")], [guest("a", "n1"), guest("b", "n2")])


def assert_valid(seen: Fleet, data: bytes) -> None:
    assert problems(seen, load_plan(data), sha256(fleet_json(seen))) == []


def test_a_fleet_is_planned_written_and_told_and_the_plan_is_valid() -> None:
    done = xenroll("plan", save(two_hosts()), "--output", "plan.json")
    assert (done.returncode, done.stderr) == (0, b"")
    assert "hosts rebooted" in done.stdout.decode() and "2 of 2" in done.stdout.decode()
    assert_valid(two_hosts(), Path("plan.json").read_bytes())
    checked = xenroll("check", "fleet.json", "plan.json")
    assert (checked.returncode, checked.stdout) == (0, b"valid: no problem found\n")


def test_with_json_standard_output_is_one_object() -> None:
    done = xenroll("plan", save(two_hosts()), "--output", "plan.json", "--json")
    told = json.loads(done.stdout)
    plan = json.loads(Path("plan.json").read_bytes())
    assert (told["output"], told["exit_code"]) == ("plan.json", 0)
    assert told["summary"] == plan["summary"] and told["waves"] == plan["waves"]
    checked = json.loads(xenroll("check", "fleet.json", "plan.json", "--json").stdout)
    assert checked == {"valid": True, "problems": []}


def test_the_same_seed_gives_the_same_plan() -> None:
    def steps(name: str) -> Any:
        xenroll("plan", save(large_fleet(30, seed=3)), "--output", name, "--seed", "5")
        return json.loads(Path(name).read_bytes())["steps"]

    assert steps("one.json") == steps("two.json")


BLOCKED = fleet([host("n1"), host("n2")], [guest("h", "n1", evacuation="hold")])
STUCK = fleet([host("n1")], [guest("a", "n1")])
ENDS: dict[str, tuple[Fleet, int]] = {
    "an empty fleet": (fleet([]), 0),
    "nothing to reboot": (fleet([host("n1", reboot=False)], [guest("a", "n1")]), 0),
    "one empty host": (fleet([host("n1")]), 0),
    "one host and one guest": (STUCK, 4),
    "one host and one guest that is passed a device": (
        fleet([host("n1")], [guest("a", "n1", evacuation="restart")]),
        0,
    ),
    "all guests are passed a device": (
        fleet(
            [host("n1"), host("n2")],
            [guest(f"g{n}", f"n{n % 2 + 1}", gib=16, evacuation="restart") for n in range(8)],
        ),
        0,
    ),
    "no room": (
        fleet([host("n1"), host("n2")], [guest("a", "n1", gib=64), guest("b", "n2", gib=64)]),
        4,
    ),
    "a guest to be left alone": (BLOCKED, 3),
}


@pytest.mark.parametrize("name", ENDS)
def test_the_exit_code_tells_how_far_a_plan_goes(name: str) -> None:
    seen, code = ENDS[name]
    done = xenroll("plan", save(seen), "--output", "plan.json")
    assert done.returncode == code, done
    assert_valid(seen, Path("plan.json").read_bytes())


def test_blocked_hosts_are_shown_with_their_reasons() -> None:
    done = xenroll("plan", save(BLOCKED), "--output", "plan.json")
    [row] = [line for line in done.stdout.decode().splitlines() if "n1" in line]
    assert "h" in row and "hold" in row


def test_check_tells_each_problem_in_a_line_and_ends_with_1() -> None:
    seen, plan = example()
    save(seen)
    Path("plan.json").write_bytes(plan_json(change("reboot:n1", needs=("move:a",))(plan)))
    done = xenroll("check", "fleet.json", "plan.json")
    line = "rule 2: step 'reboot:n1', host 'n1', guest 'b': may still be here at the reboot\n"
    assert (done.returncode, done.stdout.decode()) == (1, line)
    told = json.loads(xenroll("check", "fleet.json", "plan.json", "--json").stdout)
    assert not told["valid"]
    [problem] = told["problems"]
    assert (problem["rule"], problem["host"], problem["guest"]) == ("2", "n1", "b")


def test_a_plan_is_not_valid_for_another_fleet_file() -> None:
    xenroll("plan", save(two_hosts()), "--output", "plan.json")
    Path("fleet.json").write_bytes(fleet_json(two_hosts()) + b"\n")
    done = xenroll("check", "fleet.json", "plan.json")
    assert done.returncode == 1 and b"fleet_sha256" in done.stdout


def test_files_may_be_gzipped_and_the_checksum_is_of_what_is_inside() -> None:
    data = fleet_json(two_hosts())
    Path("fleet.json.gz").write_bytes(gzip.compress(data))
    assert xenroll("plan", "fleet.json.gz", "--output", "plan.json").returncode == 0
    assert_valid(two_hosts(), Path("plan.json").read_bytes())
    Path("plan.json.gz").write_bytes(gzip.compress(Path("plan.json").read_bytes()))
    assert xenroll("check", "fleet.json.gz", "plan.json.gz").returncode == 0


def test_a_dash_is_standard_input_and_output() -> None:
    data = fleet_json(two_hosts())
    done = xenroll("plan", "-", "--output", "-", stdin=data)
    assert done.returncode == 0 and b"hosts rebooted" in done.stderr
    assert_valid(two_hosts(), done.stdout)
    Path("fleet.json").write_bytes(data)
    assert xenroll("check", "fleet.json", "-", stdin=done.stdout).returncode == 0


BROKEN_GZIP = gzip.compress(b"{}" * 100)
UNREADABLE: dict[str, tuple[Sequence[str], str]] = {
    "missing": (["plan", "no.json", "-o", "p"], "no.json: No such file or directory"),
    "a directory": (["plan", ".", "-o", "p"], ".: Is a directory"),
    "cut gzip": (["plan", "cut.gz", "-o", "p"], "cut.gz: broken gzip data (it ends too early)"),
    "bad gzip": (["plan", "bad.gz", "-o", "p"], "bad.gz: broken gzip data (Error -"),
    "no such plan": (["check", "fleet.json", "no.json"], "no.json: No such file or directory"),
    "twice standard input": (["check", "-", "-"], "FLEET and PLAN cannot both be standard input"),
    "output in no directory": (
        ["plan", "fleet.json", "-o", "no/p"],
        "no/p: there is no directory 'no'",
    ),
    "output to a directory": (
        ["plan", "fleet.json", "-o", "."],
        ".: is a directory; expected a file",
    ),
    "output over the fleet": (
        ["plan", "fleet.json", "-o", "./fleet.json"],
        "./fleet.json: is the fleet file; expected another file for the plan",
    ),
    "two outputs at once": (
        ["plan", "fleet.json", "-o", "-", "--json"],
        "--output - prints the plan, which is JSON; leave out --json",
    ),
    "no time": (
        ["plan", "fleet.json", "-o", "p", "--time-limit", "inf"],
        "--time-limit: expected a number of seconds, got inf",
    ),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_or_written_is_one_line_and_exit_2(name: str) -> None:
    arguments, expected = UNREADABLE[name]
    data = fleet_json(two_hosts())
    Path("fleet.json").write_bytes(data)
    Path("cut.gz").write_bytes(BROKEN_GZIP[:-4])
    Path("bad.gz").write_bytes(BROKEN_GZIP[:10] + b"\xff" * 20)
    [line] = errors(xenroll(*arguments))
    assert line.startswith(f"xenroll: {expected}")
    assert Path("fleet.json").read_bytes() == data
    assert not Path("p").exists()


def test_a_broken_fleet_is_told_line_by_line_and_nothing_is_written() -> None:
    Path("plan.json").write_text("what was there before")
    made = json.loads(fleet_json(two_hosts()))
    made["guests"] = [made["guests"][0] | {"name": f"g{n}", "host": "x9"} for n in range(25)]
    Path("fleet.json").write_text(json.dumps(made))
    lines = errors(xenroll("plan", "fleet.json", "--output", "plan.json"))
    assert lines[:-1] == [f'xenroll: fleet.json: guests[{n}].host: no host "x9"' for n in range(20)]
    assert lines[-1] == "xenroll: fleet.json: and 5 more"
    assert Path("plan.json").read_text() == "what was there before"


def test_two_guests_of_one_name_on_two_hosts_are_told_with_both_hosts() -> None:
    save(fleet([host("n1"), host("n2")], [guest("a", "n1"), guest("a", "n2")]))
    [line] = errors(xenroll("plan", "fleet.json", "--output", "plan.json"))
    assert line == (
        'xenroll: fleet.json: guests[1].name: "a" is taken by guests[0]; expected a unique name '
        '(host "n2" here, "n1" there)'
    )


def test_a_broken_plan_file_is_told_line_by_line() -> None:
    Path("plan.json").write_text('{"format": "xenroll.plan/1"}')
    lines = errors(xenroll("check", save(two_hosts()), "plan.json"))
    assert lines[0].startswith("xenroll: plan.json: fleet_sha256: missing; expected 64 ")
    assert len(lines) == 5


def test_a_plan_replaces_the_file_that_was_there_and_keeps_its_permissions() -> None:
    Path("real.json").write_text("old")
    Path("real.json").chmod(0o640)
    Path("plan.json").symlink_to("real.json")
    assert xenroll("plan", save(two_hosts()), "--output", "plan.json").returncode == 0
    assert Path("plan.json").is_symlink()
    assert_valid(two_hosts(), Path("real.json").read_bytes())
    assert stat.S_IMODE(Path("real.json").stat().st_mode) == 0o640
    assert {path.name for path in Path().iterdir()} == {"fleet.json", "plan.json", "real.json"}


def test_a_device_is_written_to_and_not_replaced() -> None:
    assert xenroll("plan", save(two_hosts()), "--output", "/dev/null").returncode == 0
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


@pytest.mark.parametrize(
    "arguments", [["plan"], ["plan", "f"], ["plan", "f", "-o", "p", "--seed", "-1"], ["check", "f"]]
)
def test_a_wrong_call_is_refused_with_2(arguments: list[str]) -> None:
    done = xenroll(*arguments)
    assert done.returncode == 2 and b"Usage" in done.stderr
