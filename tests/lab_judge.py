"""Whether all went well, by what an observer outside saw; nothing here asks the project."""

from collections.abc import Sequence

from deploy.lab.guests import Guest
from deploy.lab.sightings import Sighting, lives, running_twice
from tests.lab_kit import say, unharmed


def boots(sightings: Sequence[Sighting], host: str) -> list[str]:
    """The host's boot ids in order of sight."""
    return list(dict.fromkeys(s.host_boot_id for s in sightings if s.host == host))


def rebooted_once_and_empty(sightings: Sequence[Sighting], host: str) -> None:
    """Two boots were seen, and the first one ended with no domain but dom0."""
    seen = boots(sightings, host)
    assert len(seen) == 2, f"{host} was seen in {len(seen)} boots, not in 2"
    last = [s for s in sightings if s.host == host and s.host_boot_id == seen[0]][-1]
    assert last.domains == (), f"{host} went down with {last.domains}"
    say(f"{host}: empty, then rebooted once, boot {seen[0][:8]} -> {seen[1][:8]}")


def at_the_end(sightings: Sequence[Sighting], hosts: Sequence[str]) -> dict[str, list[str]]:
    """host -> the names of the guests that run there; fails for anything else that is there."""
    found: dict[str, list[str]] = {}
    for host in hosts:
        last = [s for s in sightings if s.host == host][-1]
        found[host] = sorted(domain.name or "?" for domain in last.domains)
        for domain in last.domains:
            assert domain.can_run, f"{domain} on {host} does not run"
            assert "--" not in (domain.name or "--"), f"{domain} was left on {host}"
    return found


def all_well(sightings: Sequence[Sighting], guests: Sequence[Guest], hosts: Sequence[str]) -> None:
    """No guest noticed anything but silences, none ran twice, each host was rebooted once."""
    assert list(running_twice(sightings)) == []
    found = lives(sightings)
    for guest in guests:
        life = found[guest.uuid]
        unharmed(guest, life, life.hosts)
    for host in hosts:
        rebooted_once_and_empty(sightings, host)
    where = at_the_end(sightings, hosts)
    say(f"at the end: {where}")
    there = [name for names in where.values() for name in names]
    assert sorted(there) == sorted(guest.name for guest in guests)
    longest = max(life.longest_silence_s for life in found.values())
    say(f"{len(sightings)} looks at {len(hosts)} hosts; longest silence of a guest {longest:.1f} s")
