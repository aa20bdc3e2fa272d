"""The command of a dom0: `xenroll-agent run`, `look`, `steps`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from agents import agent, host_files
from agents.host_files import FileError
from agents.journal import Journal, JournalError
from agents.log import escaped
from agents.settings import Settings, SettingsError, load
from agents.wire import Attempt, Report

CONFIG = "/etc/xenroll/agent.toml"
USAGE, TROUBLE = 2, 1


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 1 where this host cannot be read; 2 where the agent cannot start."""
    options = parser().parse_args(argv)
    try:
        code: int = options.action(load(Path(options.config)), options)
    except (SettingsError, agent.AgentError) as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    except (FileError, JournalError) as error:
        print(f"error: {error}", file=sys.stderr)
        return TROUBLE
    return code


def run_agent(path: Path) -> int:
    """Run the agent of one settings file in this process until SIGTERM; its exit code."""
    return main(["run", "--config", str(path)])


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="xenroll-agent", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for name, action, text in (
        ("run", _run, "report this host and carry out its steps, until SIGTERM"),
        ("look", _look, "look at this host once and print what would be reported"),
        ("steps", _steps, "list every attempt in this host's journal"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--config", default=CONFIG, help=f"settings file (default {CONFIG})")
        command.set_defaults(action=action)
        if name != "run":
            command.add_argument("--json", action="store_true", help="print JSON")
    return top


def _run(settings: Settings, options: argparse.Namespace) -> int:
    agent.run(settings)
    return 0


def _look(settings: Settings, options: argparse.Namespace) -> int:
    report = agent.look_once(settings)
    if options.json:
        print(report.model_dump_json(indent=2))
    else:
        print("\n".join(map(escaped, _report_lines(report))))
    return TROUBLE if report.trouble else 0


def _report_lines(report: Report) -> Iterable[str]:
    yield f"{report.host}: Xen {report.xen_version}, build {report.build_id or '?'}"
    yield f"boot {report.boot_id}, live patches: {', '.join(report.livepatches) or 'none'}"
    yield f"memory {report.memory_free_mib} of {report.memory_total_mib} MiB free"
    yield f"offers: {' '.join(report.offers)}"
    for guest in report.guests:
        size = f"{guest.vcpus} vCPUs, {guest.memory_mib}+{guest.overhead_mib} MiB"
        yield f"guest {guest.domid} {guest.name} ({guest.type}, {size}, {guest.state})"
        yield from (f"  {one.code}: {one.text}" for one in guest.obstacles)
    for left in report.leftovers:
        yield f"leftover {left.domid} {left.name}: {left.kind} ({left.state})"
    yield from (f"at boot, {one.kind}: {one.text}" for one in report.boot_starts)
    yield from (f"trouble: {text}" for text in report.trouble)


def _steps(settings: Settings, options: argparse.Namespace) -> int:
    journal = Journal(settings.state)
    boot_id = host_files.boot_id(settings)
    for attempt in journal.attempts(frozenset(journal.ids()), boot_id):
        print(attempt.model_dump_json() if options.json else escaped(_attempt_line(attempt)))
    return 0


def _attempt_line(attempt: Attempt) -> str:
    when = f"{attempt.started_at:%Y-%m-%d %H:%M:%S}" if attempt.started_at else "not started"
    end = f"exit code {attempt.exit_code}" if attempt.exit_code is not None else attempt.reason
    what = f"{attempt.kind} {attempt.guest or ''}".strip()
    return f"{attempt.attempt_id}  {when}  {attempt.state}  {what}  {end}".rstrip()


if __name__ == "__main__":
    sys.exit(main())
