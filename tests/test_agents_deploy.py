"""What is shipped for a dom0: the example settings load, the unit leaves running steps alone."""

from __future__ import annotations

import configparser
from pathlib import Path

from agents.keys import host_slug
from agents.settings import Settings, load


def unit(repository: Path) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None, strict=False)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read(repository / "deploy/systemd/xenroll-agent.service")
    return parsed


def test_the_example_settings_are_valid_and_show_the_defaults(repository: Path) -> None:
    shown = load(repository / "deploy/systemd/xenroll-agent.example.toml")
    bare = Settings(host=shown.host, redis_url=shown.redis_url)
    same = ("transport", "config_dirs", "service_domains", "report_interval_s", "workers")
    for name in (*same, "stop_wait_s", "keep_journals_days"):
        assert getattr(shown, name) == getattr(bare, name), name
    assert f"agent-{host_slug(shown.host)}@" in shown.redis_url


def test_stopping_the_service_never_reaches_a_running_step(repository: Path) -> None:
    service = unit(repository)["Service"]
    assert service["KillMode"] == "process"
    assert service["SendSIGKILL"] == "no"
    assert service["Restart"] == "always"


def test_the_service_runs_a_command_that_exists_on_the_state_that_the_agent_uses(
    repository: Path,
) -> None:
    service = unit(repository)["Service"]
    program, *words = service["ExecStart"].split()
    assert program.endswith("/xenroll-agent") and words[0] == "run"
    bare = Settings(host="n1", redis_url="x")
    assert bare.state_dir == f"/var/lib/{service['StateDirectory']}"
