"""Debian's Chromium, driven by selenium, against the served pages."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from selenium import webdriver
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    NoSuchElementException,
    StaleElementReferenceException,
)
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from agents.wire import Attempt
from scheduler.service.access import Role
from tests.redis_fleet import RedisFleet
from tests.service_kit import Served, just_begun

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)
DESK, PHONE = (1440, 1000), (390, 844)
WAIT_S = 120
NOT_YET = (
    NoSuchElementException,
    StaleElementReferenceException,
    ElementNotInteractableException,
    ElementClickInterceptedException,
)
MIB = 2**20


def programs() -> tuple[str, str]:
    """Chromium and its driver; without them the test fails and says what to install."""
    found = shutil.which("chromium"), shutil.which("chromedriver")
    if not all(found):
        raise AssertionError("no chromium on PATH: apt-get install chromium chromium-driver")
    return str(found[0]), str(found[1])


class Browser:
    """One window, and what went wrong in it."""

    def __init__(self, driver: webdriver.Chrome, running: Served) -> None:
        self.driver = driver
        self.running = running

    def log_in(self, role: Role, path: str = "") -> None:
        """Open the login link of this role, and wait until a page is there."""
        self.driver.get(f"{self.running.url}/login#{self.running.tokens[role]}")
        self.wait(lambda: "/login" not in self.driver.current_url and self.loaded(), "a page")
        if path:
            self.open(path)

    def log_out(self) -> None:
        """Press the button, and wait for the login page."""
        self.press("header form button")
        self.wait(lambda: "/login" in self.driver.current_url and self.loaded(), "the login page")

    def open(self, path: str) -> None:
        """Go to a page."""
        self.driver.get(self.running.url + path)

    def wait(self, condition: Any, what: str = "") -> Any:
        """Wait for something to become true."""
        return WebDriverWait(self.driver, WAIT_S, 0.1).until(lambda _: condition(), what)

    def loaded(self) -> bool:
        """Whether the page is there whole, and its scripts have run."""
        return bool(self.run("return document.readyState") == "complete")

    def press(self, selector: str) -> None:
        """Click it as soon as that can be done; what is being replaced is looked for again."""
        self._act(selector, WebElement.click)

    def fill(self, selector: str, *keys: str) -> None:
        """Type into it as soon as that can be done."""
        self._act(selector, lambda element: element.send_keys(*keys))

    def _act(self, selector: str, act: Callable[[WebElement], None]) -> None:
        def acted() -> bool:
            try:
                act(self.find(selector))
            except NOT_YET:
                return False
            return True

        self.wait(lambda: self.loaded() and acted(), f"{selector} is there to be used")

    def find(self, selector: str) -> WebElement:
        """The first element of this CSS selector."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        """Every element of this CSS selector."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str = "main") -> str:
        """What a person reads there; an element that is being replaced is read again."""
        script = "return document.querySelector(arguments[0])?.innerText ?? ''"
        return str(self.driver.execute_script(script, selector))

    def run(self, script: str, *arguments: object) -> Any:
        """Run a function's body in the page."""
        return self.driver.execute_script(script, *arguments)

    def live(self) -> None:
        """Wait until the page follows the live feed."""
        self.wait(lambda: self.text("#link") == "live", "the live feed is not connected")

    def size(self, width: int, height: int) -> None:
        """Make the page this large."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def scheme(self, name: str) -> None:
        """`light` or `dark`, as the reader prefers."""
        features = {"features": [{"name": "prefers-color-scheme", "value": name}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", features)

    def shot(self, file: Path) -> None:
        """The window as a picture."""
        file.parent.mkdir(parents=True, exist_ok=True)
        assert self.driver.save_screenshot(str(file))

    def complaints(self) -> list[str]:
        """Errors in the console since the last call: scripts, the policy, failed requests."""
        return [one["message"] for one in self.driver.get_log("browser") if one["level"] != "INFO"]  # type: ignore[no-untyped-call]

    def other_origins(self) -> list[str]:
        """Addresses that were asked for outside the service since the last call."""
        found = []
        for one in self.driver.get_log("performance"):  # type: ignore[no-untyped-call]
            message = json.loads(one["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = message["params"]["request"]["url"]
                if not url.startswith((self.running.url, "data:", "chrome:", "about:")):
                    found.append(url)
        return found


@contextmanager
def browser(running: Served, folder: Path) -> Iterator[Browser]:
    """A fresh browser with an empty profile."""
    chromium, driver_program = programs()
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(driver_program))
    try:
        made = Browser(driver, running)
        made.size(*DESK)
        yield made
    finally:
        driver.quit()


@contextmanager
def on_a_rollout(client: redis.Redis, folder: Path) -> Iterator[Browser]:
    """A browser, not logged in, on a service with a rollout; nothing may go wrong in it."""
    with just_begun(client) as running, browser(running, folder) as made:
        yield made
        assert made.other_origins() == []


def state(page: Browser) -> str:
    """Of the rollout that the page shows."""
    return page.text("#state")


class BusyFleet(RedisFleet):
    """Hosts that also say how many bytes of a running move went over the wire."""

    def publish(self) -> None:
        """Report, with bytes in proportion to the time that a move has run."""
        known = self.sim.attempt

        def attempt(attempt_id: str) -> Attempt | None:
            found = known(attempt_id)
            if found is None or found.guest is None or found.started_at is None:
                return found
            memory_mib = self.sim.guests[found.guest].memory_mib
            ran_s = (self.clock.now() - found.started_at).total_seconds()
            share = min(1.0, ran_s / self.sim.fleet.policy.move_s(memory_mib))
            sent = int(share * memory_mib * MIB)
            return found.model_copy(update={"bytes_sent": sent or None})

        self.sim.attempt = attempt  # type: ignore[method-assign]
        try:
            super().publish()
        finally:
            self.sim.attempt = known  # type: ignore[method-assign]
