"""The notification file, and the three forms of a message."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from pathlib import Path

import pytest

from scheduler.notify.body import body
from scheduler.notify.event import Event, Severity, event_of, severity_of
from scheduler.notify.sign import genuine, headers
from scheduler.notify.targets import TargetError, TargetKind, load_config, wrong_address
from scheduler.rollout import Happening
from tests.sim import START

TARGET = '[[target]]\nname = "on-call"\n'


def problems(folder: Path, text: str) -> str:
    """What the file is refused for."""
    file = folder / "notify.toml"
    file.write_text(text)
    with pytest.raises(TargetError) as refused:
        load_config(file)
    (line,) = refused.value.problems
    assert line.startswith(str(file))
    return line.removeprefix(f"{file}: ")


def secret_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    file = folder / "secret"
    file.write_text(text)
    file.chmod(mode)
    return file


def event(kind: str = "crashed", **facts: str) -> Event:
    said = Happening(at=START, kind=kind, text=facts.pop("text", "it is gone"), **facts)
    return event_of("1-0", "xsa-1", "XSA-1", "shop", said)


def test_what_is_wrong_with_the_file_is_said_in_one_line(tmp_path: Path) -> None:
    address = 'url = "https://hooks.example/x"\n'
    assert "is not TOML" in problems(tmp_path, "[[target")
    assert problems(tmp_path, TARGET) == "target.0: Value error, give either url or url_file"
    assert "target.0.name" in problems(tmp_path, f'[[target]]\nname = "On Call"\n{address}')
    assert "target.0.colour: Extra" in problems(tmp_path, f"{TARGET}{address}colour = 1\n")
    assert "on-call is there twice" in problems(tmp_path, f"{TARGET}{address}" * 2)
    said = problems(tmp_path, f'{TARGET}{address}secret_file = "/none"\n')
    assert said == "target on-call: secret_file /none: No such file or directory"
    open_to_all = secret_file(tmp_path, "x" * 32, 0o644)
    said = problems(tmp_path, f'{TARGET}{address}secret_file = "{open_to_all}"\n')
    assert said.endswith("everybody can read it: chmod 640")
    for text, why in (("", "is empty"), ("short", "at least 16 bytes"), ("whsec_?", "base64")):
        file = secret_file(tmp_path, text)
        assert why in problems(tmp_path, f'{TARGET}{address}secret_file = "{file}"\n')
    file = secret_file(tmp_path, "Bearer a\nHost: b")
    assert "one line" in problems(tmp_path, f'{TARGET}{address}authorization_file = "{file}"\n')
    with pytest.raises(TargetError, match="cannot be read: No such file"):
        load_config(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://hooks.example/", "expected https"),
        ("https:///x", "expected https"),
        ("file:///etc/passwd", "expected https"),
        ("https://hooks.example/a b", "expected https"),
        ("https://hooks.example/\r\nX: y", "expected https"),
        ("https://hooks.example:99999/", "none"),
        ("https://me:secret@hooks.example/", "a user"),
        ("http://hooks.example/", "another machine"),
        ("http://127.0.0.1.hooks.example/", "another machine"),
    ],
)
def test_an_address_that_nothing_is_sent_to(url: str, why: str) -> None:
    said = wrong_address(url, plain_http=False)
    assert why in said and "secret" not in said


def test_an_address_that_is_sent_to() -> None:
    for url in ("https://hooks.example/x?y=z", "http://127.0.0.1:80/", "http://[::1]:8/"):
        assert wrong_address(url, plain_http=False) == ""
    assert wrong_address("http://hooks.example/", plain_http=True) == ""


def test_no_secret_is_in_what_is_printed_of_a_target(tmp_path: Path) -> None:
    address = tmp_path / "address"
    address.write_text("https://hooks.example/T0/very-secret")
    address.chmod(0o640)
    file = tmp_path / "notify.toml"
    secret = secret_file(tmp_path, "a secret of more than 16 bytes")
    text = f'{TARGET}url_file = "{address}"\nsecret_file = "{secret}"\n'
    file.write_text(f'{text}authorization_file = "{secret}"\n')
    _, (ready,) = load_config(file)
    assert ready.where == "hooks.example" and ready.url.endswith("very-secret")
    assert "secret of" not in repr(ready) and "very" not in repr(ready)


def test_while_a_secret_is_changed_both_sign(tmp_path: Path) -> None:
    old, new = b"o" * 24, b"n" * 24
    (tmp_path / "new").write_text(f"whsec_{base64.b64encode(new).decode()}\n")
    (tmp_path / "new").chmod(0o600)
    file = tmp_path / "notify.toml"
    names = f'secret_file = "{tmp_path}/new"\n'
    names += f'old_secret_file = "{secret_file(tmp_path, old.decode())}"\n'
    file.write_text(f'{TARGET}url = "https://hooks.example/"\n{names}')
    _, (ready,) = load_config(file)
    assert ready.secrets == (new, old)
    sent = headers(ready.secrets, "id", 1000, b"body")
    assert genuine(new, sent, b"body", 1000) and genuine(old, sent, b"body", 1000)
    assert "webhook-signature" not in headers((), "id", 1000, b"body")


def test_how_much_an_event_matters() -> None:
    assert severity_of("both") is Severity.CRITICAL
    assert severity_of("blocked") is Severity.WARNING
    assert severity_of("done") is severity_of("something new") is Severity.INFO
    assert severity_of("late") is severity_of("lost") is Severity.WARNING
    assert severity_of("moved") is Severity.DEBUG
    assert Severity.CRITICAL.reaches(Severity.WARNING)
    assert not Severity.INFO.reaches(Severity.WARNING)


def test_alertmanager_gets_an_alert_that_a_later_event_ends() -> None:
    (stopped,) = json.loads(body(TargetKind.ALERTMANAGER, event("stopped"), "https://dash/"))
    assert stopped["labels"] == {
        "alertname": "XenrollEventStopped",
        "severity": "critical",
        "rollout": "xsa-1",
    }
    assert stopped["annotations"]["description"] == "it is gone"
    assert stopped["generatorURL"] == "https://dash/rollouts/xsa-1"
    assert stopped["startsAt"] < stopped["endsAt"]
    later = event("resumed").model_copy(update={"at": START + timedelta(minutes=5)})
    alerts = json.loads(body(TargetKind.ALERTMANAGER, later, ""))
    over = next(one for one in alerts if one["labels"] == stopped["labels"])
    assert over["endsAt"] == later.at.isoformat() < stopped["endsAt"]


def test_a_chat_gets_one_line_that_calls_nobody() -> None:
    hostile = event(text="<!channel> & <https://evil|click>\n\x1b[31m", guest="<@U1>", host="h1")
    said = json.loads(body(TargetKind.SLACK, hostile, "https://dash"))["text"]
    assert "<" not in said and ">" not in said and "\n" not in said and "\x1b" not in said
    assert "&lt;!channel&gt; &amp; &lt;https" in said and said.endswith(
        "https://dash/rollouts/xsa-1"
    )


def test_a_hostile_name_makes_no_message_that_is_not_json() -> None:
    name = '"}]\udce4\x00' + "x" * 10_000
    for kind in TargetKind:
        text = body(kind, event(guest=name, text=name), "")
        assert json.loads(text) and len(text) < 8000 and text.isascii()
