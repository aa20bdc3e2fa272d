"""Command lines for `xl` and `xen-livepatch`. Pure: what to run, never running it."""

from __future__ import annotations

from agents.settings import Settings


def info(settings: Settings) -> tuple[str, ...]:
    """Facts about the host and its hypervisor."""
    return (*settings.xl, "info")


def list_domains(settings: Settings) -> tuple[str, ...]:
    """Every domain, with its UUID."""
    return (*settings.xl, "list", "-v")


def list_configs(settings: Settings, domid: int | None = None) -> tuple[str, ...]:
    """The configuration of one domain or of all, as JSON: a question to QEMU for each HVM guest."""
    return (*settings.xl, "list", "-l", *(() if domid is None else (str(domid),)))


def list_cpupools(settings: Settings) -> tuple[str, ...]:
    """The host's CPU pools."""
    return (*settings.xl, "cpupool-list")


def migrate(settings: Settings, domid: int, address: str) -> tuple[str, ...]:
    """Live migration. By domid, since xl takes a name made of digits for one."""
    return (*settings.xl, "migrate", "-s", settings.transport, str(domid), address)


def shutdown(settings: Settings, domid: int) -> tuple[str, ...]:
    """Ask the guest to shut down (by ACPI where it has no PV drivers) and wait for it."""
    return (*settings.xl, "shutdown", "-w", "-F", str(domid))


def create(settings: Settings, config_path: str, uuid: str | None) -> tuple[str, ...]:
    """Start a guest. `uuid` is given where the file names none, so that it stays the same guest."""
    return (*settings.xl, "create", config_path, *((f'uuid="{uuid}"',) if uuid else ()))


def rename(settings: Settings, domid: int, name: str) -> tuple[str, ...]:
    return (*settings.xl, "rename", str(domid), name)


def resume(settings: Settings, domid: int) -> tuple[str, ...]:
    """Wake a suspended domain; Xen 4.20 and newer."""
    return (*settings.xl, "resume", str(domid))


def unpause(settings: Settings, domid: int) -> tuple[str, ...]:
    return (*settings.xl, "unpause", str(domid))


def destroy(settings: Settings, domid: int) -> tuple[str, ...]:
    """Only ever for a copy that a gate has just seen suspended, or paused and never run."""
    return (*settings.xl, "destroy", str(domid))


def vcpus(settings: Settings, domid: int | None = None) -> tuple[str, ...]:
    """Which vCPUs are online, and where each may run."""
    return (*settings.xl, "vcpu-list", *(() if domid is None else (str(domid),)))


def shares(settings: Settings, scheduler: str) -> tuple[str, ...]:
    """Weight and cap of every domain in the cpupools of this scheduler."""
    return (*settings.xl, f"sched-{scheduler}")


def cpupool_migrate(settings: Settings, domid: int, pool: str) -> tuple[str, ...]:
    return (*settings.xl, "cpupool-migrate", str(domid), pool)


def share(settings: Settings, scheduler: str, domid: int, weight: int, cap: int) -> tuple[str, ...]:
    """Set what the scheduler gives a domain; `cap` in percent of one CPU, 0: none."""
    words = (f"sched-{scheduler}", "-d", str(domid), "-w", str(weight), "-c", str(cap))
    return (*settings.xl, *words)


def vcpu_set(settings: Settings, domid: int, online: int) -> tuple[str, ...]:
    """How many vCPUs are online; as many as before, even where the host has fewer CPUs."""
    return (*settings.xl, "vcpu-set", "-i", str(domid), str(online))


def vcpu_pin(settings: Settings, domid: int, vcpu: int, hard: str, soft: str) -> tuple[str, ...]:
    return (*settings.xl, "vcpu-pin", str(domid), str(vcpu), hard, soft)


def livepatch_list(settings: Settings) -> tuple[str, ...]:
    return (*settings.xen_livepatch, "list")


def livepatch_upload(settings: Settings, name: str, path: str) -> tuple[str, ...]:
    return (*settings.xen_livepatch, "upload", name, path)


def livepatch_unload(settings: Settings, name: str) -> tuple[str, ...]:
    return (*settings.xen_livepatch, "unload", name)


def livepatch_apply(settings: Settings, name: str) -> tuple[str, ...]:
    return (*settings.xen_livepatch, "apply", name)


def livepatch_revert(settings: Settings, name: str) -> tuple[str, ...]:
    return (*settings.xen_livepatch, "revert", name)


def xenstore_node(settings: Settings, path: str) -> tuple[str, ...]:
    """The value of one node."""
    return (*settings.xenstore_read, path)
