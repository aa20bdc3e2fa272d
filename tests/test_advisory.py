"""What each host is to an advisory, and a rollout that covers some of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import ValidationError

from agents.wire import Report
from scheduler.advisory import Advisory, Exposure, build_ids, standing
from scheduler.advisory_files import AdvisoryError, load_advisories
from scheduler.fleet_view import Scope, fleet_document, fleet_from
from scheduler.inventory import Inventory
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet
from tests.sim import NEW, OLD, START, Sim
from tests.test_cli_rollout import said, xenroll


def report(**facts: Any) -> Report:
    sim = Sim(fleet([host("h0"), host("h1")], [guest("g1", "h0", gib=2)]))
    return sim.look(sim.hosts["h0"]).model_copy(update=facts)


def advisory(**facts: Any) -> Advisory:
    return Advisory(id="XSA-469", **facts)


@pytest.mark.parametrize(
    ("facts", "seen", "expected"),
    [
        ({"fixed_builds": (NEW,)}, {}, Exposure.EXPOSED),
        ({"fixed_builds": (NEW,)}, {"build_id": NEW}, Exposure.FIXED),
        ({"fixed_version": ">=4.17.8"}, {"xen_version": "4.17.7"}, Exposure.EXPOSED),
        ({"fixed_version": ">=4.17.5"}, {"xen_version": "4.17.10"}, Exposure.FIXED),
        ({"fixed_version": ">=4.17.5,<4.18"}, {"xen_version": "4.18.0"}, Exposure.EXPOSED),
        ({"fixed_version": ">=4.17.5"}, {"xen_version": ""}, Exposure.EXPOSED),
        ({"livepatches": {OLD: "/p/xsa469.livepatch"}}, {}, Exposure.EXPOSED),
        (
            {"livepatches": {OLD: "/p/xsa469.livepatch"}},
            {"livepatches": ("other", "xsa469")},
            Exposure.LIVEPATCHED,
        ),
        (
            {"livepatches": {NEW: "/p/xsa469.livepatch"}},
            {"livepatches": ("xsa469",)},
            Exposure.EXPOSED,
        ),
        ({"fixed_builds": (NEW,), "affects": ("pv",)}, {}, Exposure.NOT_AFFECTED),
        ({"fixed_builds": (NEW,), "affects": ("pv", "pvh")}, {}, Exposure.EXPOSED),
        ({"fixed_builds": (NEW,), "affects": ("pv",)}, {"build_id": NEW}, Exposure.FIXED),
        ({}, {}, Exposure.UNKNOWN),
        ({"fixed_builds": (NEW,)}, {"trouble": ("xl info: hangs",)}, Exposure.UNKNOWN),
    ],
)
def test_a_hosts_standing_follows_from_what_its_agent_sees(
    facts: dict[str, Any], seen: dict[str, Any], expected: Exposure
) -> None:
    found = standing(advisory(**facts), report(**seen))
    assert found.exposure is expected
    assert found.reason


def test_a_payload_for_another_build_is_no_protection() -> None:
    one = advisory(livepatches={OLD: "a.livepatch", NEW: "b.livepatch"})
    assert standing(one, report(livepatches=("b",))).exposure is Exposure.EXPOSED


def test_guests_of_an_affected_type_do_not_make_an_unaffected_host_exposed() -> None:
    seen = [report(), report(host="h1", guests=())]
    pvh_only = advisory(fixed_builds=(NEW,), affects=("pvh",))
    scope = Scope((), Sim(fleet([host("h0")])).fleet.policy, advisories=(pvh_only,))
    planned = fleet_from(fleet_document(seen, Inventory(), scope, START))
    assert [h.reboot for h in planned.hosts] == [True, False]
    assert "may-carry:pvh" in planned.guests[0].needs
    assert [("may-carry:pvh" in h.offers) for h in planned.hosts] == [True, False]


def test_a_build_counts_only_if_it_is_fixed_for_every_advisory() -> None:
    one, two = advisory(fixed_builds=(OLD, NEW)), advisory(fixed_builds=(NEW,))
    assert build_ids([one, two]) == (NEW,)
    assert build_ids([one, advisory(fixed_version=">=4.18")]) == (), "the version decides"


def test_before_the_embargo_ends_only_those_who_know_see_its_name() -> None:
    end = datetime(2026, 12, 1, 12, tzinfo=UTC)
    one = advisory(embargo_until=end, codename="SEC-7")
    before, after = datetime(2026, 11, 30, tzinfo=UTC), datetime(2026, 12, 2, tzinfo=UTC)
    assert one.shown(before, knows=False) == "SEC-7"
    assert one.shown(before, knows=True) == one.shown(after, knows=False) == "XSA-469"
    with pytest.raises(ValidationError, match="codename"):
        advisory(embargo_until=end)


def test_the_public_list_is_read() -> None:
    public = [
        {
            "xsas": [
                {"xsa": 469, "title": "x86: ITS", "cve": ["CVE-1"], "public_time": "2025-05-12"},
                {"xsa": 501, "public_time": "2099-01-01", "title": None},
            ]
        }
    ]
    found = load_advisories(json.dumps(public).encode())
    assert [(one.id, one.title, one.cves) for one in found] == [
        ("XSA-469", "x86: ITS", ("CVE-1",)),
        ("XSA-501", "", ()),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"\xff", "not a YAML or JSON document"),
        (b"a: [", "not a YAML or JSON document"),
        (b"- id: XSA-1\n  fixed_build: [x]", "[0].fixed_build"),
        (b"- id: XSA-1\n  fixed_builds: [nothex]", "[0].fixed_builds.0"),
        (b"- id: 'X S A'", "[0].id"),
        (b"- id: XSA-1\n  fixed_version: four", "[0].fixed_version"),
        (b"- id: XSA-1\n  affects: [kvm]", "[0].affects.0"),
        (b"- id: XSA-1\n  deadline: tomorrow", "[0].deadline"),
        (b"just words", "[0]: expected an advisory"),
        (b"", "there is no advisory in it"),
        (b"[]", "there is no advisory in it"),
        (b'[{"xsas": []}]', "there is no advisory in it"),
        (b'[{"xsas": [3]}]', "[0].xsas[0]"),
    ],
)
def test_a_file_that_holds_none_is_refused_with_the_place(text: bytes, words: str) -> None:
    with pytest.raises(AdvisoryError) as error:
        load_advisories(text)
    assert words in str(error.value)


@pytest.fixture
def played(redis_client: redis.Redis) -> RedisFleet:
    guests = [guest("g1", "h0", gib=2), guest("g2", "h1", gib=2)]
    played = RedisFleet(redis_client, fleet([host("h0"), host("h1")], guests))
    played.store.apply_inventory(played.sim.inventory.model_dump_json(by_alias=True).encode())
    played.publish()
    return played


def test_advisories_are_added_listed_and_shown_with_every_hosts_standing(
    played: RedisFleet, redis_url: str, tmp_path: Path
) -> None:
    add = ["advisory", "add", "XSA-469", "--title", "ITS", "--fixed-build", NEW]
    said(xenroll(redis_url, *add, "--deadline", "2026-12-01T12:00:00Z"), 0, "kept")
    said(xenroll(redis_url, "advisory", "list"), 0, "XSA-469", "2 exposed", "2026-12-01")
    said(xenroll(redis_url, "advisory", "show", "XSA-469"), 0, "h0", "exposed", "Xen 4.17.7")
    shown = json.loads(xenroll(redis_url, "advisory", "show", "XSA-469", "--json").stdout)
    assert shown["standings"]["h1"]["exposure"] == "exposed"
    file = tmp_path / "more.yaml"
    file.write_text("- id: XSA-469\n  title: better words\n- id: XSA-470\n")
    said(xenroll(redis_url, "advisory", "import", str(file)), 0, "2 advisories kept")
    kept = played.store.advisories()
    assert (kept["XSA-469"].title, kept["XSA-469"].fixed_builds) == ("better words", (NEW,))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fixed-build", "nothex"], "fixed_builds"),
        (["--fixed-version", "four"], "fixed_version"),
        (["--livepatch", "nothing"], "expected BUILD_ID=FILE"),
        (["--affects", "kvm"], "affects"),
        (["--embargo-until", "2026-12-01T12:00:00Z"], "codename"),
        (["--deadline", "soon"], "deadline"),
    ],
)
def test_an_advisory_that_is_none_is_refused_with_the_field(
    redis_url: str, arguments: list[str], words: str
) -> None:
    said(xenroll(redis_url, "advisory", "add", "XSA-1", *arguments), 2, words)


def test_a_rollout_needs_to_know_what_a_fixed_host_looks_like(
    played: RedisFleet, redis_url: str
) -> None:
    said(xenroll(redis_url, "rollout", "start", "XSA-9"), 2, "XSA-9", "fixed_builds")
    bad = ["rollout", "start", "XSA-9", "--fixed-build", "nothex"]
    said(xenroll(redis_url, *bad), 2, "fixed_builds")
    said(xenroll(redis_url, "advisory", "show", "XSA-9"), 8, "no advisory XSA-9")
