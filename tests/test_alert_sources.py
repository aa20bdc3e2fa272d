"""Asking Prometheus and Alertmanager over HTTP: answers as their API documents describe them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from scheduler.alert_sources import NoAnswer, firing, silenced
from scheduler.alert_watch import AlertWatch
from scheduler.gates import AlertmanagerFilter, Alerts, Answer, PrometheusQuery
from tests.monitor import Monitor, alert
from tests.sim import START
from tests.waiting import until


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    server = Monitor()
    server.begin()
    yield server
    server.end()


def samples(*labels: dict[str, str]) -> dict[str, Any]:
    """As `GET /api/v1/query` gives it."""
    result = [{"metric": one, "value": [1763848800.123, "1"]} for one in labels]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


def silence(state: str, *matchers: dict[str, Any]) -> dict[str, Any]:
    """As `GET /api/v2/silences` gives it."""
    return {
        "id": "8f1b5c3e-7d5f-4a33-9a7c-0c3a3a9a5d11",
        "status": {"state": state},
        "comment": "known",
        "createdBy": "on-call",
        "startsAt": "2026-11-22T20:00:00.000Z",
        "endsAt": "2026-11-23T06:00:00.000Z",
        "updatedAt": "2026-11-22T20:00:00.000Z",
        "matchers": list(matchers),
    }


def matcher(name: str, value: str, *, regex: bool = False, equal: bool = True) -> dict[str, Any]:
    return {"name": name, "value": value, "isRegex": regex, "isEqual": equal}


def test_alerts_that_fire_are_named_and_the_filters_are_sent(monitor: Monitor) -> None:
    found = [alert("HostDown", instance="h3"), alert("Smoke", "suppressed"), alert("Disk")]
    monitor.answers["/am/api/v2/alerts"] = (200, found)
    source = AlertmanagerFilter(
        name="pager", url=f"{monitor.url}/am/", filters=('severity="critical"', "team=xen")
    )
    assert firing(source, 5.0) == (
        "Disk since 2026-11-22T22:01:00.000Z",
        "HostDown on h3 since 2026-11-22T22:01:00.000Z",
    )
    path, query, _ = monitor.asked[0]
    assert path == "/am/api/v2/alerts"
    assert query["filter"] == ['severity="critical"', "team=xen"]
    assert (query["silenced"], query["inhibited"], query["active"]) == (
        ["false"],
        ["false"],
        ["true"],
    )


def test_every_sample_of_a_query_fires_and_silences_are_honoured(monitor: Monitor) -> None:
    one = {"alertname": "HostDown", "instance": "h1", "alertstate": "firing"}
    two = {"alertname": "HostDown", "instance": "h2", "alertstate": "firing"}
    monitor.answers["/api/v1/query"] = (200, samples(one, two))
    query = 'ALERTS{alertstate="firing"}'
    plain = PrometheusQuery(name="p", url=monitor.url, query=query)
    assert firing(plain, 5.0) == ("HostDown on h1", "HostDown on h2")
    assert monitor.asked[0][1]["query"] == [query]
    monitor.answers["/api/v2/silences"] = (
        200,
        [
            silence("expired", matcher("alertname", "HostDown")),
            silence(
                "active", matcher("alertname", "Host.*", regex=True), matcher("instance", "h1")
            ),
        ],
    )
    knows = PrometheusQuery(name="p", url=monitor.url, query=query, silences=monitor.url)
    assert firing(knows, 5.0) == ("HostDown on h2",)
    monitor.answers["/api/v1/query"] = (200, samples())
    assert firing(knows, 5.0) == ()


@pytest.mark.parametrize(
    ("matchers", "covered"),
    [
        ([matcher("alertname", "A")], True),
        ([matcher("alertname", "A"), matcher("instance", "h2")], False),
        ([matcher("alertname", "A|B", regex=True)], True),
        ([matcher("alertname", "", regex=False)], False),
        ([matcher("alertname", "B", equal=False)], True),
        ([matcher("missing", "")], True),
        ([matcher("instance", "h", regex=True)], False),
        ([{"name": "alertname", "value": "A", "isRegex": False}], True),
        ([], False),
    ],
)
def test_a_silence_covers_what_all_its_matchers_match_wholly(
    matchers: list[dict[str, Any]], covered: bool
) -> None:
    assert silenced({"alertname": "A", "instance": "h1"}, matchers) is covered


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((500, "broken"), "answers 500"),
        ((200, b"<html>"), "no answer of a Prometheus"),
        ((200, {"status": "error", "error": "parse error"}), "parse error"),
        (
            (200, {"status": "success", "data": {"resultType": "scalar", "result": [1, "1"]}}),
            "a scalar, not a vector",
        ),
        ((200, {"status": "success"}), "no answer of a Prometheus: .*data"),
        ((200, []), "no answer of a Prometheus"),
    ],
)
def test_an_answer_that_is_none_is_no_answer(
    monitor: Monitor, answer: tuple[int, Any], words: str
) -> None:
    monitor.answers["/api/v1/query"] = answer
    with pytest.raises(NoAnswer, match=words):
        firing(PrometheusQuery(name="p", url=monitor.url, query="up"), 5.0)


def test_nobody_there_and_nobody_who_answers_in_time_are_named(monitor: Monitor) -> None:
    closed = PrometheusQuery(name="p", url="http://127.0.0.1:1", query="up")
    with pytest.raises(NoAnswer, match=r"http://127.0.0.1:1 cannot be asked"):
        firing(closed, 5.0)
    monitor.wait_s = 60.0
    with pytest.raises(NoAnswer, match="cannot be asked: timed out"):
        firing(PrometheusQuery(name="p", url=monitor.url, query="up"), 0.05)


def test_a_token_is_read_from_its_file_each_time(monitor: Monitor, tmp_path: Path) -> None:
    monitor.answers["/api/v2/alerts"] = (200, [])
    token = tmp_path / "token"
    source = AlertmanagerFilter(name="a", url=monitor.url, token_file=str(token))
    with pytest.raises(NoAnswer, match="No such file"):
        firing(source, 5.0)
    token.write_text("s3cret\n")
    assert firing(source, 5.0) == ()
    assert monitor.asked[-1][2] == "Bearer s3cret"


def test_the_watch_asks_by_itself_and_tells_when_it_was_answered(monitor: Monitor) -> None:
    monitor.answers["/api/v2/alerts"] = (200, [alert("HostDown")])
    good = AlertmanagerFilter(name="good", url=monitor.url)
    bad = AlertmanagerFilter(name="bad", url="http://127.0.0.1:1")
    alerts = Alerts(alertmanager=(good, bad), every_s=1, timeout_s=5)
    watch = AlertWatch(lambda: START)
    assert watch.answers(alerts) == {}, "nobody was asked yet"
    watch.want([alerts])
    until(lambda: len(watch.answers(alerts)) == 2, "an answer of each")
    answers = watch.answers(alerts)
    watch.close()
    assert answers["good"].firing and answers["good"].at == START
    assert not answers["bad"].firing and "cannot be asked" in answers["bad"].trouble


def answered(watch: AlertWatch, alerts: Alerts) -> Answer:
    """The newest answer of the only source, once there is one."""
    until(lambda: watch.answers(alerts), "an answer")
    return watch.answers(alerts)[alerts.sources[0].name]


@pytest.mark.parametrize(
    ("silences", "words"),
    [
        ([silence("active", matcher("a", "(", regex=True))], "error: missing )"),
        (b"[" * 100_000, "RecursionError"),
    ],
)
def test_an_answer_that_nobody_foresaw_is_no_answer_and_the_source_is_asked_again(
    monitor: Monitor, silences: Any, words: str
) -> None:
    monitor.answers["/api/v1/query"] = (200, samples({"alertname": "HostDown", "a": "b"}))
    monitor.answers["/api/v2/silences"] = (200, silences)
    source = PrometheusQuery(name="xen", url=monitor.url, query="ALERTS", silences=monitor.url)
    alerts = Alerts(prometheus=(source,), every_s=1, timeout_s=5)
    watch = AlertWatch(lambda: START)
    watch.want([alerts])
    assert words in answered(watch, alerts).trouble
    monitor.answers["/api/v2/silences"] = (200, [])
    until(lambda: not answered(watch, alerts).trouble, "an answer that can be read")
    watch.close()
    assert answered(watch, alerts).firing == ("HostDown",)


@pytest.mark.parametrize(
    "url", ["ftp://a", "http://", "http://user:secret@a", "http://a/?q=1", "alerts", "http://a#b"]
)
def test_an_address_that_is_none_or_holds_a_secret_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        AlertmanagerFilter(name="a", url=url)


def test_two_sources_have_two_names() -> None:
    one = AlertmanagerFilter(name="a", url="http://a")
    with pytest.raises(ValidationError, match="'a' is there twice"):
        Alerts(alertmanager=(one, one))
