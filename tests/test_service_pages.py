"""The pages without a browser: who gets in, what a form may do, and the files that they need."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
import redis

from agents.wire import Wanted
from scheduler.service import present
from scheduler.service.access import Role
from scheduler.service.app import STATIC
from tests.redis_fleet import RedisFleet
from tests.service_kit import Served, begun, just_begun, logged_in, served, small_fleet


@pytest.fixture
def running(redis_client: redis.Redis) -> Iterator[Served]:
    with just_begun(redis_client) as made:
        yield made


def hidden(page: str) -> dict[str, str]:
    """The hidden fields of the page's first form that acts."""
    start = page.index("/act")
    fields = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page[start:])
    return dict(fields[:2])


def test_nobody_sees_a_page_without_logging_in(running: Served) -> None:
    with httpx.Client(base_url=running.url, headers={"Accept": "text/html"}, timeout=30) as client:
        for path in ("/", "/rollouts", "/rollouts/xsa-1", "/hosts", "/hosts/h0", "/audit"):
            answer = client.get(path)
            assert answer.status_code == 303
            assert answer.headers["location"] == f"/login?next={quote(path)}"
        assert client.get("/rollouts/xsa-1/live", headers={"HX-Request": "1"}).status_code == 401
        for wrong in ("xr_00000000_" + "0" * 64, "x", "xr_"):
            assert client.post("/login", data={"token": wrong}).status_code == 401
        assert client.post("/login", data={"token": "x" * 300}).status_code == 422


def test_a_session_cookie_is_for_this_site_alone_and_not_for_scripts(running: Served) -> None:
    with httpx.Client(base_url=running.url, timeout=30) as client:
        answer = client.post("/login", data={"token": running.tokens[Role.VIEWER]})
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie
        assert running.tokens[Role.VIEWER] not in cookie
        stored = b"".join(running.played.client.keys("xr:session:*"))  # type: ignore[arg-type]
        assert client.cookies["xenroll_session"].encode() not in stored
        behind = {"X-Forwarded-Proto": "https"}
        over_tls = client.post(
            "/login", data={"token": running.tokens[Role.VIEWER]}, headers=behind
        )
        assert "Secure" in over_tls.headers["set-cookie"]


def test_after_a_login_nobody_is_sent_to_another_site(running: Served) -> None:
    with httpx.Client(base_url=running.url, timeout=30) as client:
        for wrong in ("//evil.example", "https://evil.example", "/\\evil.example", "/\r\nx: y"):
            form = {"token": running.tokens[Role.VIEWER], "next": wrong}
            assert client.post("/login", data=form).headers["location"] == "/"


def test_logging_out_and_revoking_both_end_a_session(running: Served) -> None:
    with logged_in(running, Role.VIEWER) as client, logged_in(running, Role.VIEWER) as other:
        cookie = client.cookies["xenroll_session"]
        client.post("/logout")
        client.cookies.set("xenroll_session", cookie)
        assert client.get("/hosts", follow_redirects=False).status_code == 303
        assert other.get("/hosts").status_code == 200
        viewer = running.tokens[Role.VIEWER].split("_")[1]
        running.service.tokens.revoke(viewer, running.played.clock.now())
        assert other.get("/hosts", follow_redirects=False).status_code == 303


def test_every_page_is_made_for_every_role(running: Served) -> None:
    controller = running.played.controller()
    for role in Role:
        with logged_in(running, role) as client:
            for path in (
                "/",
                "/rollouts",
                "/rollouts/xsa-1",
                "/rollouts/xsa-1/live",
                "/rollouts/xsa-1/plan",
                "/rollouts/xsa-1/plan?wave=1",
                "/rollouts/xsa-1/report",
                "/rollouts/xsa-1/report.md?since=2026-11-22T22:00:00Z",
                "/hosts",
                "/hosts/h1",
                "/guests/g1",
            ):
                answer = client.get(path)
                assert answer.status_code == 200, path
                policy = answer.headers["content-security-policy"]
                assert "script-src 'self'" in policy and "unsafe" not in policy
                assert "on" + "click" not in answer.text and "style=" not in answer.text, path
            asked = {"status": 200 if role is Role.ADMIN else 403}
            assert client.get("/audit").status_code == asked["status"]
            assert client.get("/rollouts/nothing").status_code == 404
            assert client.get("/rollouts/xsa-1/plan?wave=99").status_code == 404
        for _ in range(8):
            running.played.round(controller, 20.0)


def test_the_buttons_are_there_for_who_may_press_them(running: Served) -> None:
    for role in Role:
        with logged_in(running, role) as client:
            page = client.get("/rollouts/xsa-1").text
        may = role.covers(Role.ON_CALL)
        assert ('id="do-pause"' in page) is may
        assert ('id="ask-abort"' in page) is may
        assert ("need the role on-call" in page) is not may


def test_a_form_pauses_once_and_the_page_says_who_and_why(running: Served) -> None:
    with logged_in(running, Role.ON_CALL) as client:
        fields = hidden(client.get("/rollouts/xsa-1").text)
        form = {**fields, "action": "pause", "reason": "disks <b>look</b> slow"}
        page = client.post("/rollouts/xsa-1/act", data=form)
        assert page.status_code == 200 and page.url.path == "/rollouts/xsa-1"
        assert "disks &lt;b&gt;look&lt;/b&gt; slow" in page.text and "t-on-call" in page.text
        assert running.played.store.control("xsa-1")["wanted"] == Wanted.PAUSE
        running.post("/rollouts/xsa-1/actions/resume")
        assert client.post("/rollouts/xsa-1/act", data=form).status_code == 200
        assert running.played.store.control("xsa-1")["wanted"] == Wanted.RUN, (
            "sent twice, acts once"
        )
    audit = running.get("/audit", Role.ADMIN).json()["items"]
    assert [one["action"] for one in audit] == ["resume", "pause"]


def test_a_form_that_is_forged_stale_or_empty_changes_nothing(running: Served) -> None:
    with logged_in(running, Role.ON_CALL) as client:
        fields = hidden(client.get("/rollouts/xsa-1").text)
        good = {**fields, "action": "abort", "reason": "a good reason"}
        path = "/rollouts/xsa-1/act"
        assert client.post(path, data=good | {"csrf": "0" * 32}).status_code == 403
        assert client.post(path, data={k: v for k, v in good.items() if k != "csrf"}).is_error
        for header in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
            assert client.post(path, data=good, headers=header).status_code == 403
        for wrong in ({"reason": ""}, {"reason": "x" * 501}, {"action": "destroy"}, {"key": "x"}):
            assert client.post(path, data=good | wrong).status_code == 422, wrong
        assert client.post("/rollouts/nothing/act", data=good).status_code == 404
        assert client.get(path).status_code == 405
        with logged_in(running, Role.VIEWER) as viewer:
            theirs = running.service.tokens.session(
                viewer.cookies["xenroll_session"], running.played.clock.now()
            )
            assert theirs is not None
            refused = viewer.post(path, data=good | {"csrf": theirs.csrf})
            assert refused.status_code == 403 and "role on-call" in refused.text
    assert running.played.store.control("xsa-1")["wanted"] == Wanted.RUN


def test_a_report_says_what_happened_in_html_and_markdown(redis_client: redis.Redis) -> None:
    faults = {"g1": "crashes", "g2": "refuses"}
    played = RedisFleet(redis_client, small_fleet(), faults=faults)
    begun(played)
    played.run(played.controller())
    with served(redis_client, played) as running, logged_in(running, Role.VIEWER) as client:
        page = client.get("/rollouts/xsa-1/report").text
        text = client.get("/rollouts/xsa-1/report.md").text
        for said in (page, text):
            assert "g1" in said and "crashed" in said and "done" in said
            assert "could not do with fewer than" in said
        assert page.count("<polyline") == 2 and "<script" not in page
        later = client.get("/rollouts/xsa-1/report.md?since=2026-12-01T00:00").text
        assert "## What happened" in text and "## What happened" not in later
        assert client.get("/rollouts/xsa-1/report?since=yesterday").status_code == 422


def test_a_state_that_forbids_an_action_is_told_on_a_page(running: Served) -> None:
    with logged_in(running, Role.ON_CALL) as client:
        fields = hidden(client.get("/rollouts/xsa-1").text)
        running.post("/rollouts/xsa-1/actions/abort")
        form = {**fields, "action": "pause", "reason": "a good reason"}
        answer = client.post("/rollouts/xsa-1/act", data=form)
        assert answer.status_code == 409 and "cannot be taken back" in answer.text
        page = client.get("/rollouts/xsa-1").text
        assert 'id="do-abort"' not in page and "aborting" in page


# Files.


def test_vendored_files_are_what_vendor_md_says() -> None:
    text = (STATIC / "VENDOR.md").read_text()
    rows = re.findall(r"\| `([\w.-]+)` \|.*\| `([0-9a-f]{64})` \|", text)
    assert {name for name, _ in rows} == {one.name for one in STATIC.glob("*.min.*")}
    for name, digest in rows:
        assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == digest


def test_no_page_or_own_script_names_another_origin() -> None:
    own = [*STATIC.glob("app.*"), *(STATIC.parent / "pages").glob("*.html")]
    assert len(own) > 10
    assert [path.name for path in own if re.search(r"https?://", path.read_text())] == []


def test_the_words_for_sizes_and_times() -> None:
    times = {None: "\u2013", 0.4: "0 s", 89: "89 s", 91: "2 min", 3600: "60 min"}
    times |= {11_100: "3 h 05 min", 172_800.0: "2 d 0 h"}
    assert {s: present.duration(s) for s in times} == times
    sizes = {None: "\u2013", 0: "0 MiB", 1023: "1023 MiB", 1536: "1.5 GiB", 204_800: "200 GiB"}
    sizes |= {2_097_152: "2.0 TiB"}
    assert {mib: present.size(mib) for mib in sizes} == sizes


def test_the_folder_of_static_files_gives_nothing_else_away(running: Served) -> None:
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/", "/static/none.js"):
        assert httpx.get(running.url + path, timeout=30).status_code in (404, 405)
    assert Path(STATIC / "app.js").is_file()
