"""The dashboard in a real browser: every page, live, by keyboard, at full size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from selenium.webdriver.common.keys import Keys

from planner.fleet import Fleet
from scheduler.planned import Planned
from scheduler.rollout import HostState
from scheduler.service.access import Role
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet
from tests.service_browser import DESK, PHONE, Browser, browser, on_a_rollout, state
from tests.service_kit import served

MANY_HOSTS = 1000
MAIN_THREAD_S = 1.0


pytestmark = pytest.mark.browser


@pytest.fixture
def page(redis_client: redis.Redis, tmp_path: Path) -> Iterator[Browser]:
    with on_a_rollout(redis_client, tmp_path) as made:
        yield made


def test_a_login_link_lets_in_and_leaves_no_token_behind(page: Browser) -> None:
    page.log_in(Role.VIEWER)
    assert page.driver.current_url.endswith("/rollouts/xsa-1")
    secret = page.running.tokens[Role.VIEWER]
    assert page.run("return document.cookie") == ""
    assert secret not in page.driver.page_source
    page.open("/login?next=/hosts")
    page.wait(lambda: "/login" not in page.driver.current_url, "logged in already: go on")
    assert page.driver.current_url.endswith("/hosts")
    page.log_out()
    page.open("/hosts")
    assert "/login?next=/hosts" in page.driver.current_url
    assert page.complaints() == []


def test_every_page_is_shown_without_a_complaint(page: Browser) -> None:
    page.log_in(Role.ADMIN)
    for path, words in (
        ("/rollouts", "xsa-1"),
        ("/rollouts/xsa-1", "Hosts fixed"),
        ("/rollouts/xsa-1/plan", "could not do with fewer"),
        ("/hosts", "h3"),
        ("/notifications", "Notifications"),
        ("/hosts/h1", "g5"),
        ("/guests/g1", "pvh linux-6.1 x86_64"),
        ("/audit", "Request"),
        ("/rollouts/none", "no rollout none"),
    ):
        for scheme, size in (("dark", DESK), ("light", PHONE)):
            page.scheme(scheme)
            page.size(*size)
            page.open(path)
            assert words in page.text(), path
            wide = page.run("return document.documentElement.scrollWidth")
            assert wide <= size[0], f"{path} is {wide} px wide on {size[0]}"
    assert [line for line in page.complaints() if "/rollouts/none" not in line] == []


def test_what_happens_is_shown_as_it_happens(page: Browser) -> None:
    played = page.running.played
    page.log_in(Role.VIEWER)
    page.live()
    assert "0 of 4" in page.text(".figures")
    controller = played.controller()
    for _ in range(6):
        played.round(controller)
    page.wait(lambda: "moved" in page.text("#feed"), "the feed shows a move")
    page.wait(lambda: page.all("#grid .s-d, #grid .s-r"), "a square changes")
    while not any(h.state is HostState.FIXED for h in played.store.book("xsa-1").hosts.values()):
        played.round(controller, 20.0)
    page.wait(lambda: page.text(".figures dd").startswith("1 of"), "the headline counts")
    page.wait(lambda: page.all("#grid .s-f"), "the square is green")
    page.wait(lambda: page.text('[data-count="f"]') == "1", "the legend counts")
    played.run(controller)
    page.wait(lambda: state(page) == "done", "the end is shown")
    page.wait(lambda: not page.all("[data-ask]"), "nothing is left to press")
    assert page.complaints() == []


def test_a_viewer_sees_everything_and_can_press_nothing(page: Browser) -> None:
    page.log_in(Role.VIEWER)
    assert page.all("[data-ask]") == [] and page.all("dialog") == []
    assert "need the role on-call" in page.text(".hero")


def test_the_grid_can_be_read_and_walked_with_the_keyboard(page: Browser) -> None:
    page.log_in(Role.VIEWER)
    page.live()
    names = [one.get_attribute("aria-label") for one in page.all("#grid .sq")]
    assert len(names) == 4 and all(": waiting" in str(name) for name in names)
    page.run("document.querySelector('#grid .sq').focus()")
    for key in (Keys.ARROW_RIGHT, Keys.END, Keys.ARROW_LEFT, Keys.HOME):
        page.driver.switch_to.active_element.send_keys(key)
    assert page.text("#pointed") == names[0]
    focusable = [one for one in page.all("#grid .sq") if one.get_attribute("tabindex") == "0"]
    assert len(focusable) == 1, "one stop for Tab, however many hosts"
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.wait(lambda: "/hosts/" in page.driver.current_url)


COVERED = """
const one = document.activeElement, bar = document.querySelector('.hero .act');
const its = one.getBoundingClientRect();
if (one === document.body || bar.contains(one)) return null;
return its.top + Math.min(its.height, 40) > bar.getBoundingClientRect().top ? one.outerHTML : null;
"""


def test_on_a_phone_nothing_that_has_focus_is_behind_the_big_buttons(page: Browser) -> None:
    page.size(360, 640)
    page.log_in(Role.ON_CALL)
    page.live()
    page.run("document.querySelector('#grid .sq').focus()")
    page.driver.switch_to.active_element.send_keys(Keys.END)
    seen = [page.run(COVERED)]
    for _ in range(10):
        page.driver.switch_to.active_element.send_keys(Keys.TAB)
        seen.append(page.run(COVERED))
    assert [one for one in seen if one] == []


def renewed(page: Browser) -> None:
    """Wait until the cards have been made anew."""
    page.run("document.querySelector('#cards').firstElementChild.seen = true")
    page.wait(
        lambda: page.run("return !document.querySelector('#cards').firstElementChild.seen"),
        "the cards are made anew",
    )


def test_who_walks_the_cards_by_keyboard_keeps_their_place(page: Browser) -> None:
    page.log_in(Role.ON_CALL)
    page.live()
    for selector in ("#cards button[data-part=wave]", "#do-abort"):
        page.wait(lambda where=selector: page.all(where))
        page.run("document.querySelector(arguments[0]).focus()", selector)
        renewed(page)
        page.wait(lambda where=selector: focused(page, where), "focus is where it was")
    assert page.complaints() == []


def focused(page: Browser, selector: str) -> bool:
    return bool(page.run("return document.activeElement.matches(arguments[0])", selector))


def test_escape_gives_focus_back_to_the_button_although_it_was_made_anew(page: Browser) -> None:
    page.log_in(Role.ON_CALL)
    page.live()
    for selector in ("#do-abort", "#cards button[data-part=wave]"):
        page.wait(lambda where=selector: page.all(where))
        page.find(selector).send_keys(Keys.ENTER)
        page.wait(lambda: page.all("dialog[open]"))
        renewed(page)
        page.driver.switch_to.active_element.send_keys("looked", Keys.ESCAPE)
        page.wait(lambda: not page.all("dialog[open]"))
        page.wait(lambda where=selector: focused(page, where), "focus is where it was")
    assert page.complaints() == []


def test_a_new_plan_takes_no_dialog_away_from_who_is_typing(page: Browser) -> None:
    page.log_in(Role.ON_CALL)
    page.live()
    page.run("window.same = true")
    page.run("document.querySelector('#ask-abort').showModal()")
    page.driver.switch_to.active_element.send_keys("a bad build")
    page.run("document.querySelector('#rollout').dataset.generation = '99'")
    renewed(page)
    renewed(page)
    typed = "return window.same && document.querySelector('#reason-abort').value"
    assert page.run(typed) == "a bad build"
    page.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    page.wait(lambda: not page.run("return window.same"), "the page shows the newest plan")


def test_a_lost_connection_is_said_and_found_again(page: Browser) -> None:
    page.log_in(Role.VIEWER)
    page.live()
    page.driver.execute_cdp_cmd("Network.enable", {})
    gone = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", gone)
    page.running.service.feed.cut()
    page.wait(lambda: "may be old" in page.text("#link"), "it says that what is shown may be old")
    back = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", back)
    page.live()


def large_fleet() -> Fleet:
    """A thousand hosts, each with one guest."""
    hosts = [host(f"host-{n:04}", gib=64, group=f"rack-{n % 40}") for n in range(MANY_HOSTS)]
    guests = [guest(f"guest-{n:04}", f"host-{n:04}", gib=4) for n in range(MANY_HOSTS)]
    return fleet(hosts, guests, wave_hosts=100, max_hosts_away=50)


def test_a_thousand_hosts_take_less_than_a_second_of_the_main_thread(
    redis_client: redis.Redis, tmp_path: Path
) -> None:
    played = RedisFleet(redis_client, large_fleet())
    planned: Planned = played.sim.planned
    assert len(planned.fleet.hosts) == MANY_HOSTS
    played.begin()
    with served(redis_client, played) as running, browser(running, tmp_path) as page:
        page.log_in(Role.VIEWER)
        page.driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
        page.open("/rollouts/xsa-1")
        page.live()
        page.wait(lambda: page.all("#burn canvas"), "the chart is drawn")
        assert len(page.run("return document.querySelectorAll('#grid .sq')")) == MANY_HOSTS
        said = page.driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        spent = {one["name"]: one["value"] for one in said}
        print({name: spent[name] for name in ("TaskDuration", "ScriptDuration", "LayoutDuration")})
        assert spent["TaskDuration"] < MAIN_THREAD_S
        assert page.complaints() == [] and page.other_origins() == []
