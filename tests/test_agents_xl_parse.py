"""Reading what `xl` prints: real recordings, hostile names, and everything that is not it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.cpu_level import levels
from agents.xl_parse import (
    Info,
    ParseError,
    Pool,
    parse_configs,
    parse_cpupools,
    parse_info,
    parse_list,
    parse_livepatches,
)
from tests.agents_kit import DOM0_UUID, OTHER_UUID, UUID, recorded

HEADING = (
    "Name                                        ID   Mem VCPUs\tState\tTime(s)   UUID"
    "                            Reason-Code\tSecurity Label\n"
)
DOM0_ROW = (
    f"Domain-0                                     0   768     1     r-----     274.9 {DOM0_UUID}"
    "        -                -\n"
)


def row(name: str, domid: int = 7, state: str = "-b----", reason: str = "-") -> str:
    """A row as `xl list -v` prints it."""
    return (
        f"{name:<40} {domid:5} {96:5} {1:5}     {state}  {13.0:8.1f} {UUID} {reason:>8} {'-':>16}\n"
    )


def test_info_of_a_real_host_is_read() -> None:
    assert parse_info(recorded("A-pv-xl-info.out")) == Info(
        xen_version="4.17.7",
        build_id="151b373fd64b321593bf987fd923cd10dabadac4",
        cpus=1,
        memory_total_mib=2047,
        memory_free_mib=1160,
        virt_caps=("pv", "hvm", "hap", "gnttab-v1", "gnttab-v2"),
        hw_caps=(0x078BF3FD, 0xC0982201, 0x20100800, 5, 0, 0, 0, 0),
    )


@pytest.mark.parametrize("key", ["xen_version", "nr_cpus", "total_memory", "free_memory"])
def test_info_without_a_block_that_xl_left_out_is_refused_by_its_key(key: str) -> None:
    lines = recorded("A-pv-xl-info.out").splitlines()
    with pytest.raises(ParseError, match=key):
        parse_info("\n".join(line for line in lines if not line.startswith(key)))


def test_info_with_a_number_that_is_none_is_refused() -> None:
    text = recorded("A-pv-xl-info.out").replace(": 1160", ": lots")
    with pytest.raises(ParseError, match=r"free_memory.*lots"):
        parse_info(text)


def test_the_cpu_level_of_the_recorded_host_is_v2() -> None:
    assert levels(parse_info(recorded("A-pv-xl-info.out")).hw_caps) == (
        "cpu:x86-64-v1",
        "cpu:x86-64-v2",
    )


def test_a_cpu_with_everything_has_all_four_levels_and_one_that_says_nothing_none() -> None:
    assert levels((2**32 - 1,) * 8)[-1] == "cpu:x86-64-v4"
    assert levels(()) == ()


@pytest.mark.parametrize(
    ("name", "guest", "domid", "memory_mib"),
    [("A-pv", "g1", 2, 96), ("B-pvh-disk-vif", "d1", 2, 47), ("B-pvh-after-migrate", "h1", 1, 96)],
)
def test_the_domains_of_a_real_host_are_read(
    name: str, guest: str, domid: int, memory_mib: int
) -> None:
    dom0, found = parse_list(recorded(f"{name}-xl-list-v.out"))
    assert (dom0.domid, dom0.name, dom0.state) == (0, "Domain-0", "r-----")
    assert (found.name, found.domid, found.memory_mib) == (guest, domid, memory_mib)
    assert found.uuid != DOM0_UUID


def test_a_crashed_guest_of_a_real_host_shows_its_letters() -> None:
    text = recorded("guest-crash-preserve-destroy-restart.txt")
    table = [line for line in text.splitlines() if "-0000-" in line or "Security Label" in line]
    table += [line for line in text.splitlines() if line.startswith("t1") and "061707bc" in line]
    crashed = parse_list("\n".join(table))[1]
    assert (crashed.name, crashed.state, crashed.cpu_time_s) == ("t1", "---sc-", 92.4)


@pytest.mark.parametrize(
    "name",
    [
        "web 1",
        "(null)",
        "x   5  96  1  -b----  13.0",
        f"evil 9 96 1 r----- 1.0 {OTHER_UUID} - -",
        "a" * 80,
        "日本語",
        "db-3--incoming",
        "7",
    ],
)
def test_a_name_may_hold_anything_that_keeps_its_line(name: str) -> None:
    found = parse_list(HEADING + DOM0_ROW + row(name))
    assert [(d.name, d.domid, d.uuid) for d in found[1:]] == [(name, 7, UUID)]


@pytest.mark.parametrize("state", ["r-----", "-b----", "--p---", "---ss-", "--psc-", "---s--"])
def test_every_combination_of_state_letters_is_kept(state: str) -> None:
    assert parse_list(HEADING + DOM0_ROW + row("g", state=state))[1].state == state


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "xl: command not found",
        HEADING,
        HEADING + row("g"),
        HEADING + DOM0_ROW + "g1   2\n",
        HEADING + DOM0_ROW + row("g", state="zzzzzz"),
        DOM0_ROW,
        recorded("A-pv-xl-vm-list.out"),
        HEADING + DOM0_ROW + row("a\nb"),
    ],
)
def test_a_list_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ParseError, match="xl list -v"):
        parse_list(text)


def test_a_row_without_a_uuid_is_refused() -> None:
    bare = "g1                                           2    96     1     -b----      13.0\n"
    with pytest.raises(ParseError, match="no UUID"):
        parse_list(HEADING + DOM0_ROW + bare)


def test_configurations_of_a_real_host_are_read_by_domid() -> None:
    configs = parse_configs(recorded("B-pvh-disk-vif-xl-list-l.out"))
    assert sorted(configs) == [0, 2]
    assert configs[2]["c_info"]["uuid"] == UUID
    assert configs[2]["disks"][0]["pdev_path"] == "/dev/vdb"


def test_the_configuration_of_one_domain_has_the_same_form() -> None:
    one = parse_configs(recorded("A-pv-xl-list-l-g1.out"))
    assert one[2] == parse_configs(recorded("A-pv-xl-list-l.out"))[2]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "{}",
        "[1]",
        '[{"domid": "2", "config": {}}]',
        '[{"domid": 2}]',
        '[{"domid": 2, "config": {"c_info": {}}}]',
        '[{"domid": 2, "config": {"c_info": [], "b_info": {}}}]',
        "[" * 100_000,
    ],
)
def test_configurations_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ParseError, match="xl list -l"):
        parse_configs(text)


def test_the_pools_of_a_real_host_are_read() -> None:
    assert parse_cpupools(recorded("A-pv-xl-cpupool-list.out")) == (
        Pool("Pool-0", 1, "credit2", True, 2),
    )


def test_no_live_patches_are_none() -> None:
    assert parse_livepatches(recorded("A-pv-xen-livepatch-list.out")) == ()


def test_live_patches_keep_their_order_and_their_state() -> None:
    text = (
        " ID                                     | status     | metadata\n"
        "----------------------------------------+------------+---------------\n"
        "lp_4.17-1_4.17-2                        | APPLIED    | author=us\n"
        "lp_4.17-2_4.17-3                        | CHECKED    | \n"
        "broken                                  | CHECKED (16, Device or resource busy) | \n"
    )
    assert parse_livepatches(text) == (
        ("lp_4.17-1_4.17-2", "APPLIED"),
        ("lp_4.17-2_4.17-3", "CHECKED"),
        ("broken", "CHECKED"),
    )


@pytest.mark.parametrize("parse", [parse_cpupools, parse_livepatches, parse_info])
@pytest.mark.parametrize("text", ["", "Segmentation fault", "Name ID\nrubbish"])
def test_other_tables_that_are_none_are_refused(parse: object, text: str) -> None:
    assert callable(parse)
    with pytest.raises(ParseError):
        parse(text)


PARSERS = (parse_info, parse_list, parse_configs, parse_cpupools, parse_livepatches)


@given(text=st.text(), start=st.sampled_from(["", HEADING, HEADING + DOM0_ROW, "[", "Name ID "]))
def test_no_text_at_all_makes_a_parser_fail_in_another_way(text: str, start: str) -> None:
    for parse in PARSERS:
        try:
            parse(start + text)
        except ParseError as error:
            assert str(error)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=8))
def test_no_json_at_all_makes_the_parser_of_configurations_fail_in_another_way(
    value: object,
) -> None:
    for wrapped in (value, [value], [{"domid": 1, "config": value}]):
        try:
            parse_configs(json.dumps(wrapped))
        except ParseError as error:
            assert str(error)
