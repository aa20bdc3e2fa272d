"""The help texts of `xl` for the commands that the stand-in knows."""

from __future__ import annotations

from scheduler.standin.dom0 import say

_WAITS = "-w, --wait              Wait for guest(s) to {0}.\n"
_ALL = (
    "-a, --all               Shutdown all guest domains.\n"
    "-h                      Print this help.\n"
    "-F                      Fallback to ACPI {0} event for HVM guests with\n"
    "                        no PV drivers.\n"
)
# command -> (flags it takes beside -v, usage, description, options)
HELP: dict[str, tuple[str, str, str, str]] = {
    "create": (
        "fN",
        "<ConfigFile> [options] [vars]",
        "Create a domain from config file <filename>",
        "-h                      Print this help.\n"
        "-p                      Leave the domain paused after it is created.\n"
        "-f FILE, --defconfig=FILE\n                     Use the given configuration file.\n"
        "-q, --quiet             Quiet.\n"
        "-e                      Do not wait in the background for the death of the domain.",
    ),
    "list": (
        "",
        "[options] [Domain]\n",
        "List information about all/some domains",
        "-l, --long              Output all VM details\n"
        "-v, --verbose           Prints out UUIDs and security context\n"
        "-Z, --context           Prints out security context\n"
        "-c, --cpupool           Prints the cpupool the domain is in\n"
        "-n, --numa              Prints out NUMA node affinity",
    ),
    "destroy": ("f", "[options] <Domain>\n", "Terminate a domain immediately", "-f"),
    "shutdown": (
        "f",
        "[options] <-a|Domain>",
        "Issue a shutdown signal to a domain",
        _ALL.format("power") + _WAITS.format("shutdown"),
    ),
    "reboot": (
        "f",
        "[options] <-a|Domain>",
        "Issue a reboot signal to a domain",
        _ALL.format("reset") + _WAITS.format("reboot"),
    ),
    "pci-list": ("", "<Domain>", "List pass-through pci devices for a domain", ""),
    "pause": ("f", "<Domain>", "Pause execution of a domain", ""),
    "unpause": ("f", "<Domain>", "Unpause a paused domain", ""),
    "resume": ("f", "<Domain>", "Resume a suspended domain", ""),
    "migrate": (
        "f",
        "[options] <Domain> <host>",
        "Migrate a domain to another host",
        "-h              Print this help.\n"
        "-C <config>     Send <config> instead of config file from creation.\n"
        "-s <sshcommand> Use <sshcommand> instead of ssh.  String will be passed\n"
        "                to sh. If empty, run <host> instead of ssh <host> xl\n"
        "                migrate-receive [-d -e]\n"
        "-e              Do not wait in the background (on <host>) for the death\n"
        "                of the domain.\n"
        "--debug         Print huge (!) amount of debug during the migration process.\n"
        "-p              Do not unpause domain after migrating it.\n"
        "-D              Preserve the domain id",
    ),
    "migrate-receive": (
        "f",
        "- for internal use only",
        "Restore a domain from a saved state",
        "",
    ),
    "vcpu-list": ("", "[Domain, ...]", "List the VCPUs for all/some domains", ""),
    "vcpu-pin": (
        "fN",
        "[option] <Domain> <VCPU|all> <Hard affinity|-|all> <Soft affinity|-|all>",
        "Set which CPUs a VCPU can use",
        "-f, --force        undo an override pinning done by the kernel\n"
        "--ignore-global-affinity-masks Ignore global masks in xl.conf",
    ),
    "vcpu-set": (
        "f",
        "[option] <Domain> <vCPUs>",
        "Set the number of active VCPUs allowed for the domain",
        "-i, --ignore-host  Don't limit the vCPU based on the host CPU count",
    ),
    "vm-list": ("", "", "List guest domains, excluding dom0, stubdoms, etc.", ""),
    "info": (
        "",
        "-n, --numa         List host NUMA topology information",
        "Get information about Xen host",
        "",
    ),
    "sched-credit": (
        "f",
        "[-d <Domain> [-w[=WEIGHT]|-c[=CAP]]]",
        "Get/set credit scheduler parameters",
        "",
    ),
    "sched-credit2": (
        "f",
        "[-d <Domain> [-w[=WEIGHT]|-c[=CAP]]] [-s [-r RATELIMIT]] [-p CPUPOOL]",
        "Get/set credit2 scheduler parameters",
        "-d DOMAIN, --domain=DOMAIN     Domain to modify\n"
        "-w WEIGHT, --weight=WEIGHT     Weight (int)\n"
        "-c CAP,    --cap=CAP           Cap (int)\n"
        "-p CPUPOOL, --cpupool=CPUPOOL  Restrict output to CPUPOOL",
    ),
    "domid": ("", "<DomainName>", "Convert a domain name to domain id", ""),
    "domname": ("", "<DomainId>", "Convert a domain id to domain name", ""),
    "rename": ("f", "<Domain> <NewDomainName>", "Rename a domain", ""),
    "dmesg": (
        "",
        "[-c]",
        "Read and/or clear dmesg buffer",
        "  -c                        Clear dmesg buffer as well as printing it",
    ),
    "network-list": ("", "<Domain(s)>", "List virtual network interfaces for a domain", ""),
    "block-list": ("", "<Domain(s)>", "List virtual block devices for a domain", ""),
    "uptime": ("", "[-s] [Domain]", "Print uptime for all/some domains", ""),
    "cpupool-create": (
        "fN",
        "[options] [<ConfigFile>] [vars]",
        "Create a new CPU pool",
        "-h, --help                   Print this help.\n"
        "-f FILE, --defconfig=FILE    Use the given configuration file.\n"
        "-n, --dryrun                 Dry run - prints the resulting configuration.",
    ),
    "cpupool-cpu-remove": (
        "f",
        "<CPU Pool> <CPU nr>|node:<node nr>",
        "Removes a CPU from a CPU pool",
        "",
    ),
    "cpupool-migrate": ("f", "<Domain> <CPU Pool>", "Moves a domain into a CPU pool", ""),
    "cpupool-list": (
        "",
        "[-c|--cpus] [<CPU Pool>]",
        "List CPU pools on host",
        "-c, --cpus                     Output list of CPUs used by a pool",
    ),
}


def print_help(command: str | None, known: list[str] | None = None) -> None:
    """`xl help [COMMAND]`, on stdout as xl does it."""
    if command is None or command == "help":
        lines = [f" {c:<19} {HELP[c][2]}\n" for c in known or HELP]
        say("Usage xl [-vfNtT] <subcommand> [args]\n\nxl full list of subcommands:\n\n")
        say("".join(lines))
        return
    if command not in HELP or (known is not None and command not in known):
        say(f'command "{command}" not implemented\n')
        return
    flags, usage, description, options = HELP[command]
    say(f"Usage: xl [-vtT{flags}] {command} {usage}\n\n{description}.\n\n")
    if options:
        say(f"Options:\n\n{options}\n")
