"""Asking Prometheus and Alertmanager which alerts fire; their documented HTTP APIs (v1, v2).

One request without redirects and proxies each. A token is read from its file at every request.
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from scheduler.gates import AlertmanagerFilter, PrometheusQuery

MOST_BYTES = 8 * 2**20
SHOWN = 5

Source = PrometheusQuery | AlertmanagerFilter


class NoAnswer(Exception):
    """The source could not be asked, or what it said cannot be read; the text says why."""


def firing(source: Source, timeout_s: float) -> tuple[str, ...]:
    """The alerts that fire now and are not silenced, in words. Raises NoAnswer."""
    try:
        if isinstance(source, AlertmanagerFilter):
            return _alerts(source, timeout_s)
        return _samples(source, timeout_s)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        kind = "an Alertmanager" if isinstance(source, AlertmanagerFilter) else "a Prometheus"
        raise NoAnswer(f"{source.url}: this is no answer of {kind}: {error!r}"[:300]) from None


def _alerts(source: AlertmanagerFilter, timeout_s: float) -> tuple[str, ...]:
    words = [("active", "true"), ("silenced", "false"), ("inhibited", "false")]
    words += [("filter", one) for one in source.filters]
    alerts = _get(source.url, "/api/v2/alerts", words, source.token_file, timeout_s)
    live = [one for one in alerts if one["status"]["state"] == "active"]
    return _in_words([(one["labels"], str(one.get("startsAt", ""))) for one in live])


def _samples(source: PrometheusQuery, timeout_s: float) -> tuple[str, ...]:
    words = [("query", source.query)]
    said = _get(source.url, "/api/v1/query", words, source.token_file, timeout_s)
    if said["status"] != "success":
        raise NoAnswer(str(said.get("error", said["status"]))[:300])
    if said["data"]["resultType"] != "vector":
        raise NoAnswer(f"the query gives a {said['data']['resultType']}, not a vector")
    labels = [one["metric"] for one in said["data"]["result"]]
    if labels and source.silences:
        silences = _get(source.silences, "/api/v2/silences", [], source.token_file, timeout_s)
        live = [one["matchers"] for one in silences if one["status"]["state"] == "active"]
        labels = [one for one in labels if not any(silenced(one, m) for m in live)]
    return _in_words([(one, "") for one in labels])


def silenced(labels: Mapping[str, str], matchers: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a silence with these matchers covers an alert with these labels."""
    return bool(matchers) and all(_matches(labels, one) for one in matchers)


def _matches(labels: Mapping[str, str], matcher: Mapping[str, Any]) -> bool:
    value = labels.get(matcher["name"], "")
    if matcher["isRegex"]:
        found = re.fullmatch(matcher["value"], value) is not None
    else:
        found = bool(value == matcher["value"])
    return found is bool(matcher.get("isEqual", True))


def _in_words(alerts: Sequence[tuple[Mapping[str, str], str]]) -> tuple[str, ...]:
    words = []
    for labels, since in sorted(alerts, key=lambda one: sorted(one[0].items())):
        name = labels.get("alertname") or labels.get("__name__") or "an alert"
        where = labels.get("instance") or labels.get("host") or ""
        words.append(
            name + (f" on {where}" if where else "") + (f" since {since}" if since else "")
        )
    more = [f"and {len(words) - SHOWN} more"] if len(words) > SHOWN else []
    return (*words[:SHOWN], *more)


def _get(
    url: str, path: str, words: Sequence[tuple[str, str]], token_file: str | None, timeout_s: float
) -> Any:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout_s)
    target = f"{parts.path}{path}" + (f"?{urlencode(words)}" if words else "")
    try:
        connection.request("GET", target, headers=_headers(token_file))
        answer = connection.getresponse()
        body = answer.read(MOST_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(f"{url} cannot be asked: {error or type(error).__name__}") from None
    finally:
        connection.close()
    if answer.status != 200:
        text = body[:200].decode(errors="replace")
        raise NoAnswer(f"{url}{path} answers {answer.status}: {text}")
    if len(body) > MOST_BYTES:
        raise NoAnswer(f"{url}{path} answers with more than {MOST_BYTES} bytes")
    return json.loads(body)


def _headers(token_file: str | None) -> dict[str, str]:
    headers = {"Accept": "application/json"}
    if token_file is not None:
        try:
            token = Path(token_file).read_text().strip()
        except OSError as error:
            raise NoAnswer(f"token_file {token_file}: {error.strerror}") from None
        headers["Authorization"] = f"Bearer {token}"
    return headers
