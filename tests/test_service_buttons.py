"""What can be done on the dashboard, in a real browser: pause, resume, abort, approve, test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from selenium.webdriver.common.keys import Keys

from agents.wire import Wanted
from scheduler.gates import GatePolicy
from scheduler.notify.run import Notifier
from scheduler.notify.targets import load_config
from scheduler.rollout import HostState, RolloutState
from scheduler.service.access import Role
from tests.redis_fleet import RedisFleet
from tests.service_browser import PHONE, Browser, browser, on_a_rollout, state
from tests.service_kit import begun, served, small_fleet
from tests.webhook_receiver import receiver

pytestmark = pytest.mark.browser


@pytest.fixture
def page(redis_client: redis.Redis, tmp_path: Path) -> Iterator[Browser]:
    with on_a_rollout(redis_client, tmp_path) as made:
        yield made


def test_a_wave_and_a_host_are_paused_by_their_buttons(page: Browser) -> None:
    played = page.running.played
    control = played.store.control
    controller = played.controller()
    played.round(controller)
    page.size(*PHONE)
    page.log_in(Role.ON_CALL)
    page.live()
    button = page.find('.waves [data-action="pause"]')
    wave = button.get_attribute("data-value")
    page.run("arguments[0].scrollIntoView({block: 'center'})", button)
    page.press('.waves [data-action="pause"]')
    assert page.text("#t-part") == f"Pause wave {wave}?"
    page.press("#go-part")  # no reason given: the form stays
    assert f"wave:{wave}" not in control("xsa-1")
    page.fill("#reason-part", "disks look slow", Keys.ENTER)
    page.wait(lambda: f"wave:{wave}" in control("xsa-1"))
    page.wait(lambda: "disks look slow" in page.text(".waves"))
    page.open("/hosts/h3")
    page.press('[data-action="abort"]')
    page.fill("#reason-part", "its owner asks")
    page.press("#go-part")
    page.wait(lambda: "host:h3" in control("xsa-1"))
    page.wait(lambda: "its owner asks" in page.text())
    assert page.complaints() == []


def test_pause_resume_and_abort_with_a_reason_from_a_phone(page: Browser) -> None:
    played = page.running.played
    control = played.store.control
    page.size(*PHONE)
    page.log_in(Role.ON_CALL)
    page.live()
    page.press("#do-pause")
    page.press("#ask-pause button.pause")  # no reason given: the form stays
    assert control("xsa-1")["wanted"] == Wanted.RUN
    page.fill("#reason-pause", "disks look slow")
    page.press("#ask-pause button.pause")
    page.wait(lambda: control("xsa-1")["wanted"] == Wanted.PAUSE)
    page.wait(lambda: "disks look slow" in page.text(".hero"))
    assert state(page) == "pausing"
    controller = played.controller()
    for _ in range(60):
        played.round(controller)
    assert played.head().state is RolloutState.PAUSED
    page.wait(lambda: state(page) == "paused", "the controller's word is shown")
    page.press("#do-resume")
    page.fill("#reason-resume", "they are fine", Keys.ENTER)
    page.wait(lambda: control("xsa-1")["wanted"] == Wanted.RUN)
    played.round(controller)
    page.wait(lambda: state(page) == "running")
    page.press("#do-abort")
    page.fill("#reason-abort", "wrong build")
    page.press("#ask-abort button.abort")  # the box is not ticked: the form stays
    assert control("xsa-1")["wanted"] == Wanted.RUN
    page.press("#ask-abort input[name=sure]")
    page.press("#ask-abort button.abort")
    page.wait(lambda: control("xsa-1")["wanted"] == Wanted.ABORT)
    played.run(controller)
    page.wait(lambda: state(page) == "aborted")
    assert page.complaints() == []


def test_the_dialog_says_what_a_pause_costs_before_it_is_pressed(page: Browser) -> None:
    played = page.running.played
    controller = played.controller()
    while not any(h.state is HostState.DRAINING for h in played.store.book("xsa-1").hosts.values()):
        played.round(controller)
    page.size(*PHONE)
    page.log_in(Role.ON_CALL)
    page.live()
    page.press("#do-pause")
    page.wait(lambda: "60 min, it ends" in page.text("#pause-cost"), "the cost of an hour")
    assert "hosts stay closed half emptied" in page.text("#pause-cost")
    page.press("#pause-for option[value='14400']")
    page.wait(lambda: "4 h 00 min, it ends" in page.text("#pause-cost"), "of four hours")
    assert page.run("return document.activeElement.id") in ("reason-pause", "pause-for")
    page.fill("#reason-pause", "disks look slow", Keys.ENTER)
    page.wait(lambda: played.store.control("xsa-1")["wanted"] == Wanted.PAUSE)
    assert page.complaints() == []


def test_a_second_person_approves_a_rollout_with_the_keyboard_alone(
    redis_client: redis.Redis, tmp_path: Path
) -> None:
    played = RedisFleet(redis_client, small_fleet())
    begun(played, second_person=True)
    control = played.store.control
    with served(redis_client, played) as running, browser(running, tmp_path) as page:
        page.log_in(Role.ON_CALL)
        assert state(page) == "awaiting" and page.all("#do-approve") == []
        page.log_out()
        page.log_in(Role.SECURITY)
        page.live()
        page.fill("#do-approve", Keys.ENTER)
        assert "a second person has to" in page.text("#ask-approve")
        page.driver.switch_to.active_element.send_keys("looked at the plan", Keys.ENTER)
        page.wait(lambda: control("xsa-1")["wanted"] == Wanted.RUN, "it is approved")
        played.round(played.controller())
        page.wait(lambda: state(page) == "running", "the page follows")
        assert control("xsa-1")["by"] == "t-security" and page.complaints() == []


def test_a_wave_that_waits_for_a_word_is_approved_by_its_button(
    redis_client: redis.Redis, tmp_path: Path
) -> None:
    played = RedisFleet(redis_client, small_fleet())
    begun(played, gates=GatePolicy(approval=True))
    controller = played.controller()
    while not page_asks(played):
        played.round(controller, 20.0)
    with served(redis_client, played) as running, browser(running, tmp_path) as page:
        page.log_in(Role.ON_CALL)
        page.live()
        assert page.all('[data-action="approve"]') == [], "that is for the role security"
        page.log_out()
        page.size(*PHONE)
        page.log_in(Role.SECURITY)
        page.live()
        wave = page.find('[data-action="approve"]').get_attribute("data-value")
        page.run("document.querySelector('[data-action=approve]').scrollIntoView()")
        page.fill('[data-action="approve"]', Keys.ENTER)
        assert page.text("#t-part") == f"Approve wave {wave}?"
        page.fill("#reason-part", "the canary looks well", Keys.ENTER)
        page.wait(lambda: f"approve:{wave}" in played.store.control("xsa-1"), page.text())
        assert "canary looks well" in played.store.control("xsa-1")[f"approve:{wave}"]
        played.round(controller)
        page.wait(lambda: "waits for a person" not in page.text(".waves"), "the page follows")
        assert page.complaints() == []


def page_asks(played: RedisFleet) -> bool:
    """Whether a wave waits for a person's word."""
    holds = [hold for wave in played.store.book("xsa-1").waves.values() for hold in wave.holds]
    return any("approv" in hold.reason for hold in holds)


def test_the_test_button_of_a_target_says_what_came_back(page: Browser, tmp_path: Path) -> None:
    played = page.running.played
    with receiver() as hooks:
        file = tmp_path / "notify.toml"
        file.write_text(f'[[target]]\nname = "chat"\nurl = "{hooks.url}"\n')
        config, targets = load_config(file)
        sender = Notifier(played.client, config, targets, played.clock.now, played.log.append)
        ending = threading.Event()
        thread = threading.Thread(target=rounds_of, args=(sender, ending))
        thread.start()
        try:
            page.log_in(Role.ON_CALL, "/notifications")
            page.wait(sender.outbox.status, "the sender has said what it sends to")
            page.open("/notifications")
            page.fill("button[value=test]", Keys.ENTER)
            page.wait(lambda: "Test of chat: HTTP 204" in page.text(), "the answer is shown")
        finally:
            ending.set()
            thread.join()
    assert len(hooks.got) == 1 and page.complaints() == []


def rounds_of(sender: Notifier, ending: threading.Event) -> None:
    """What `xenroll notify run` does, until told to end."""
    while not ending.is_set():
        sender.round()


def test_a_host_is_paused_and_resumed_from_its_page_in_the_dark(page: Browser) -> None:
    control = page.running.played.store.control
    page.scheme("dark")
    page.log_in(Role.ON_CALL, "/hosts/h2")
    for action in ("pause", "resume"):
        page.press(f'[data-action="{action}"]')
        page.fill("#reason-part", "its disks", Keys.ENTER)
        said = f'"{"pause" if action == "pause" else "run"}"'
        page.wait(lambda said=said: said in control("xsa-1").get("host:h2", '"run"'), action)
        other = "resume" if action == "pause" else "pause"
        page.wait(lambda other=other: page.all(f'[data-action="{other}"]'), "the other button")
    assert page.complaints() == []


def test_not_now_and_escape_change_nothing(page: Browser) -> None:
    page.log_in(Role.ON_CALL)
    page.press("#do-abort")
    page.press("#ask-abort [data-close]")
    page.press("#do-pause")
    page.fill("#reason-pause", "something", Keys.ESCAPE)
    page.wait(lambda: not page.all("dialog[open]"))
    assert page.running.played.store.control("xsa-1")["wanted"] == Wanted.RUN
