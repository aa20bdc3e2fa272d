"""`xenroll-agent`: settings, `look` and `steps`, and one clear message for whatever is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agents.__main__ import main
from agents.command import Failed, Garbage, Missing, TimedOut, run
from agents.journal import Journal
from agents.log import escaped
from agents.settings import Settings, SettingsError, load
from agents.steps import runner_argv
from agents.wire import RefusalCode, Report
from agents.xl import create, migrate
from tests.agents_dom0 import Dom0
from tests.agents_kit import domain, order


@pytest.fixture
def dom0(tmp_path: Path) -> Dom0:
    return Dom0(tmp_path)


def test_two_fields_are_enough_on_a_debian_dom0(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('host = "n1"\nredis_url = "unix:///run/valkey.sock"\n')
    settings = load(path)
    assert migrate(settings, 7, "n2") == (
        "/usr/sbin/xl",
        "migrate",
        "-s",
        "ssh -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=5"
        " -o ServerAliveCountMax=6 -o ControlMaster=no -o ControlPath=none",
        "7",
        "n2",
    )
    assert create(settings, "/etc/xen/a.cfg", "u")[1:] == ("create", "/etc/xen/a.cfg", 'uuid="u"')


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "host: Field required"),
        ('host = "n1"\nredis_url = "x"\ncolour = 1\n', "colour: Extra inputs"),
        ('host = ""\nredis_url = "x"\n', "host: String should have at least 1"),
        ('host = "n1"\nredis_url = "x"\nworkers = 0\n', "workers: Input should be greater"),
        ('host = "n1"\nredis_url = "x"\nxl = []\n', "xl: Tuple should have at least 1"),
        ("host = \n", "is not TOML"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_file_and_field(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(path)
    assert str(path) in str(caught.value) and said in str(caught.value)


def test_a_settings_file_that_is_missing_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "none.toml"
    assert main(["look", "--config", str(path)]) == 2
    assert capsys.readouterr().err == f"error: {path}: cannot be read: No such file or directory\n"


def test_a_look_as_json_is_a_report(dom0: Dom0, capsys: pytest.CaptureFixture[str]) -> None:
    dom0.shows(domain())
    assert main(["look", "--json", "--config", str(dom0.written())]) == 0
    report = Report.model_validate_json(capsys.readouterr().out)
    assert [guest.name for guest in report.guests] == ["db-3"]


def test_a_look_at_a_host_in_trouble_says_so_and_exits_with_1(
    dom0: Dom0, capsys: pytest.CaptureFixture[str]
) -> None:
    dom0.program("xl", "exit 3")
    assert main(["look", "--config", str(dom0.written())]) == 1
    assert "trouble: " in capsys.readouterr().out


def test_a_hostile_name_cannot_reach_the_terminal(
    dom0: Dom0, capsys: pytest.CaptureFixture[str]
) -> None:
    dom0.shows(domain("evil\x1b[2Jname"))
    assert main(["look", "--config", str(dom0.written())]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and "evil\\x1b[2Jname" in out


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\nb", "a\\nb"), ("\x1b[0m", "\\x1b[0m"), ("größe", "größe"), ("a b", "a b")],
)
def test_what_is_logged_stays_on_its_line(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_steps_lists_the_journal(dom0: Dom0, capsys: pytest.CaptureFixture[str]) -> None:
    journal = Journal(dom0.settings.state)
    journal.record(order())
    journal.refuse("r1-s1-a1", RefusalCode.GATE, "db-3 is paused")
    assert main(["steps", "--config", str(dom0.written())]) == 0
    assert "r1-s1-a1  not started  refused  move db-3  db-3 is paused" in capsys.readouterr().out
    assert main(["steps", "--json", "--config", str(dom0.written())]) == 0
    assert json.loads(capsys.readouterr().out)["refusal"] == "gate"


@pytest.mark.parametrize(
    "argv", [["--help"], ["run", "--help"], ["look", "--help"], ["steps", "-h"]]
)
def test_every_command_explains_itself(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 0 and "usage: xenroll-agent" in capsys.readouterr().out


def test_a_program_that_cannot_do_what_it_is_asked_has_a_named_error(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="No such file"):
        run(("/no/such/xl",), 5)
    with pytest.raises(Missing, match="null byte"):
        run(("/bin/echo", "a\0b"), 5)
    with pytest.raises(TimedOut, match=r"no answer within 0\.2 s"):
        run(("/bin/sleep", "60"), 0.2)
    with pytest.raises(Failed, match=r"exit code 4: said why") as failed:
        run(("/bin/sh", "-c", "echo said why >&2; exit 4"), 5)
    assert failed.value.exit_code == 4
    with pytest.raises(Garbage, match="UTF-8"):
        run(("/bin/sh", "-c", r"printf '\377'"), 5)


def test_with_systemd_a_step_is_a_unit_of_its_own() -> None:
    settings = Settings(host="n1", redis_url="x", systemd_run=("/usr/bin/systemd-run",))
    argv = runner_argv(settings, "r1-s1-a1", "/j", "spec.json")
    assert argv[:4] == ("/usr/bin/systemd-run", "--unit=xenroll-r1-s1-a1", "--collect", "--quiet")
    assert "--property=KillMode=process" in argv and argv[-1] == "--stay"


HEAVY = ("ortools", "numpy", "pandas", "networkx", "rich", "typer", "scheduler", "planner")


def test_an_agent_loads_nothing_that_a_dom0_does_not_have_and_stays_small() -> None:
    code = (
        "import re, sys; import agents.__main__, agents.settle;"
        f"print([n for n in {HEAVY!r} if n in sys.modules]);"
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) // 1024)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=os.getcwd()
    )
    loaded, rss_mib = said.stdout.split("\n")[:2]
    assert loaded == "[]"
    assert int(rss_mib) < 80
