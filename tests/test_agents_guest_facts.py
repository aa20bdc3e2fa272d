"""What makes a guest unmigratable, what it needs and what it takes, from its configuration."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import guest_facts
from agents.settings import Settings, Storage
from agents.wire import ObstacleCode
from agents.xl_parse import parse_configs, parse_list
from tests.agents_kit import BLOCKED, CRASHED, PAUSED, domain, recorded

SETTINGS = Settings(
    host="n1", redis_url="unix:///x", storage=(Storage(prefix="/dev/vd", tag="storage:vd"),)
)
CAPS = ("pv", "hvm", "hap", "shadow")
D1 = parse_list(recorded("B-pvh-disk-vif-xl-list-v.out"))[1]
CONFIG = parse_configs(recorded("B-pvh-disk-vif-xl-list-l.out"))[2]


def changed(**changes: Any) -> dict[str, Any]:
    """The recorded guest with some parts of its configuration replaced."""
    config = copy.deepcopy(CONFIG)
    for key, value in changes.items():
        if key in ("c_info", "b_info", "type.pvh"):
            part = config if key != "type.pvh" else config["b_info"]
            part[key].update(value)
        else:
            config[key] = value
    return config


def codes(
    config: dict[str, Any], state: str = BLOCKED, memory_mib: int = 48, caps: Any = CAPS
) -> list[ObstacleCode]:
    seen = domain("d1", state, memory_mib=memory_mib)
    found = guest_facts.obstacles(config, seen, caps, "4.17.7", SETTINGS)
    return [obstacle.code for obstacle in found]


def test_a_plain_guest_of_a_real_host_has_no_obstacle() -> None:
    assert codes(CONFIG) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"pcidevs": [{"bus": 3}]}, ObstacleCode.PCI),
        ({"usbdevs": [{"ctrl": 0}]}, ObstacleCode.HOST_DEVICE),
        ({"p9s": [{"tag": "share"}]}, ObstacleCode.HOST_DEVICE),
        ({"channels": [{"name": "agent"}]}, ObstacleCode.HOST_DEVICE),
        ({"b_info": {"ioports": [{"first": 760}]}}, ObstacleCode.HOST_DEVICE),
        ({"b_info": {"irqs": [7]}}, ObstacleCode.HOST_DEVICE),
        ({"type.pvh": {"gfx_passthru": "True"}}, ObstacleCode.HOST_DEVICE),
        ({"vtpms": [{"devid": 0}]}, ObstacleCode.VTPM),
        ({"b_info": {"nested_hvm": "True"}}, ObstacleCode.NESTED),
        ({"b_info": {"disable_migrate": "True"}}, ObstacleCode.NOMIGRATE),
        ({"b_info": {"vnuma_nodes": [{"memkb": 1}]}}, ObstacleCode.VNUMA),
        ({"b_info": {"device_model_stubdomain": "True"}}, ObstacleCode.STUBDOMAIN),
        ({"c_info": {"driver_domain": "True"}}, ObstacleCode.DRIVER_DOMAIN),
        ({"nics": [{"backend_domname": "net-vm"}]}, ObstacleCode.DRIVER_DOMAIN),
        ({"disks": [{"pdev_path": "/srv/x.img", "vdev": "xvda"}]}, ObstacleCode.LOCAL_DISK),
        ({"b_info": {"target_memkb": 40 * 1024}}, ObstacleCode.BALLOONING),
    ],
)
def test_each_obstacle_is_seen(change: dict[str, Any], code: ObstacleCode) -> None:
    assert codes(changed(**change)) == [code]


@pytest.mark.parametrize(
    "change",
    [
        {"pcidevs": []},
        {"b_info": {"nested_hvm": "False", "disable_migrate": "False"}},
        {"disks": [{"vdev": "xvdd", "is_cdrom": 1}]},
        {"nics": [{"backend_domname": "Domain-0"}]},
        {"b_info": {"target_memkb": 47 * 1024}},  # libxl allows one MiB more than the target
    ],
)
def test_what_only_looks_like_an_obstacle_is_none(change: dict[str, Any]) -> None:
    assert codes(changed(**change)) == []


def test_a_pv_guest_is_stuck_on_a_hypervisor_without_shadow_paging() -> None:
    config = parse_configs(recorded("A-pv-xl-list-l.out"))[2]
    seen = parse_list(recorded("A-pv-xl-list-v.out"))[1]
    recorded_caps = ("pv", "hvm", "hap", "gnttab-v1", "gnttab-v2")

    def found(caps: tuple[str, ...], xen: str) -> list[ObstacleCode]:
        return [o.code for o in guest_facts.obstacles(config, seen, caps, xen, SETTINGS)]

    assert found(recorded_caps, "4.17.7") == [ObstacleCode.NO_LOGDIRTY]
    assert found((*recorded_caps, "shadow"), "4.17.7") == []
    assert found(recorded_caps, "4.12.1") == []  # before 4.13 the word was not printed


def test_a_state_in_which_it_cannot_move_may_pass_by_waiting() -> None:
    assert codes(CONFIG, PAUSED) == [ObstacleCode.PAUSED]
    assert codes(CONFIG, CRASHED) == [ObstacleCode.NOT_RUNNING]
    assert not any(o.lasting for o in guest_facts.state_obstacles(domain(state=PAUSED)))


def test_its_needs_are_its_kind_its_bridges_and_its_storage() -> None:
    assert guest_facts.needs(CONFIG, SETTINGS) == ("bridge:xenbr0", "pvh", "storage:vd")


def test_a_nic_without_a_bridge_needs_the_default_one_unless_it_is_routed() -> None:
    plain, routed = changed(nics=[{}]), changed(nics=[{"script": "/etc/xen/scripts/vif-route"}])
    assert "bridge:xenbr0" in guest_facts.needs(plain, SETTINGS)
    assert guest_facts.needs(routed, SETTINGS) == ("pvh", "storage:vd")


def test_its_class_tells_its_kind_and_its_kernel() -> None:
    assert guest_facts.guest_class(CONFIG) == "pvh vmlinux-tiny"
    bare = changed(b_info={"kernel": None, "bootloader": "/usr/lib/xen/bin/pygrub"})
    assert guest_facts.guest_class(bare) == "pvh pygrub"


def test_memory_is_what_a_migration_copies_rounded_up() -> None:
    assert guest_facts.memory_mib(CONFIG, D1) == 48  # `xl list` shows 47
    assert guest_facts.memory_mib(changed(b_info={"target_memkb": 48 * 1024 + 1}), D1) == 49
    assert guest_facts.memory_mib(CONFIG, domain(memory_mib=60)) == 60


def big(kind: str, **more: Any) -> dict[str, Any]:
    size = 16 * 1024 * 1024
    return {
        "c_info": {"type": kind, **more.pop("c_info", {})},
        "b_info": {"max_vcpus": 4, "max_memkb": size, "target_memkb": size, **more},
    }


@pytest.mark.parametrize(
    ("config", "overhead_mib"),
    [
        (big("hvm"), 70),  # the example of the facts: 68 MiB shadow and 2 MiB
        (big("pvh"), 70),
        (big("pv"), 70),  # 68 MiB and 1 MiB, in steps of 2 MiB
        (big("hvm", c_info={"hap": "False"}), 134),
        (big("hvm", shadow_memkb=4096), 6),
        (big("hvm", iommu_memkb=2048), 72),
    ],
)
def test_overhead_follows_the_formula_of_libxl(config: dict[str, Any], overhead_mib: int) -> None:
    assert guest_facts.overhead_mib(config) == overhead_mib


def test_overhead_and_memory_are_never_less_than_what_libxl_asks_for() -> None:
    for extra in range(0, 5000, 333):
        config = big("hvm", target_memkb=16 * 1024 * 1024 + extra)
        need_kib = 16 * 1024 * 1024 + extra + guest_facts.shadow_kib(config) + 2048
        given = guest_facts.memory_mib(config, domain()) + guest_facts.overhead_mib(config)
        assert given * 1024 >= need_kib


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)
B_INFO = ["max_vcpus", "max_memkb", "target_memkb", "shadow_memkb", "kernel", "type.pvh", "irqs"]


@given(
    top=st.dictionaries(st.sampled_from(["disks", "nics", "pcidevs", "vtpms", "p9s"]), JSON),
    boot=st.dictionaries(st.sampled_from(B_INFO), JSON),
    about=st.dictionaries(st.sampled_from(["type", "hap", "driver_domain"]), JSON),
)
def test_a_configuration_with_values_of_other_types_is_judged_without_an_error(
    top: dict[str, Any], boot: dict[str, Any], about: dict[str, Any]
) -> None:
    config = {**top, "b_info": boot, "c_info": about}
    list(guest_facts.obstacles(config, domain(), CAPS, "4.17.7", SETTINGS))
    guest_facts.needs(config, SETTINGS)
    guest_facts.guest_class(config)
    assert guest_facts.memory_mib(config, domain()) >= 48
    assert guest_facts.overhead_mib(config) >= 0
    assert guest_facts.guest_vcpus(config, domain()) >= 1


def test_an_unreadable_guest_is_still_seen_and_says_so() -> None:
    seen = guest_facts.unreadable(domain())
    assert [o.code for o in seen.obstacles] == [ObstacleCode.UNREADABLE]
