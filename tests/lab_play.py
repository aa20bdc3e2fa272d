"""One failure on real Xen: a rollout moves one guest, somebody disturbs it, and we look."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agents.wire import Kind, Wanted
from deploy.lab.build_id import build_id, with_another_build_id
from deploy.lab.guests import Guest, create, wait_for_beat
from deploy.lab.record import clear
from deploy.lab.scene import DESTINATION, SOURCE, Scene
from deploy.lab.sightings import Beat, Sighting, beat_of, running_twice
from deploy.lab.watch import Watch
from scheduler.book import Book
from scheduler.rollout import ENDED, Happening, RolloutState, Step
from tests.lab_kit import lab_of, layout, say
from tests.lab_stage import ADVISORY, Stage, free_port, installed, now, staged

SETTLE_TIMEOUT_S = 900.0
HOSTS = (SOURCE, DESTINATION)
JOURNALS = (
    "cd /var/lib/xenroll-agent/attempts && for one in {pattern}; do [ -d $one ] || continue; "
    'echo "## $one"; cat $one/exit.json $one/err.log; done'
)


PATIENCE = {
    "XENROLL_LIMITS__STALE_AFTER_S": "90",
    "XENROLL_LIMITS__RETRY_BACKOFF_S": "3600",  # one attempt is what is looked at
    "XENROLL_LIMITS__SETTLE_LIMIT_S": "60",
    "XENROLL_LIMITS__REBOOT_LIMIT_S": "150",
}


@contextmanager
def half_fixed() -> Iterator[Stage]:
    """Two enrolled hosts without a guest, the second of them on the fixed hypervisor."""
    with lab_of(HOSTS, redis_port=free_port(layout())) as lab:
        fixed = with_another_build_id(lab.images.xen, lab.layout.run)
        installed(lab, DESTINATION, fixed)
        lab.switch_off(DESTINATION)
        lab.switch_on(DESTINATION)
        with staged(lab, free_port(lab.layout), PATIENCE) as stage:
            began = now()
            for name in HOSTS:
                stage.enroll(name)
            stage.wait_for_agents(HOSTS, began)
            stage.apply_inventory(HOSTS)
            stage.obey("advisory", "add", ADVISORY, "--fixed-build", build_id(fixed))
            yield stage


@dataclass
class Play:
    """One case under way: its guest, its rollout, and what was seen from outside."""

    stage: Stage
    scene: Scene
    rollout_id: str = ""
    before: Beat | None = None
    told: list[str] = field(default_factory=list)

    @staticmethod
    def scene_of(stage: Stage, case: str, guest: Guest) -> Scene:
        return Scene(stage.lab, case, guest)

    @property
    def guest(self) -> Guest:
        return self.scene.guest

    def note(self, text: str) -> None:
        say(f"{self.scene.case}: {text}")
        self.told.append(text)

    def set_up(self) -> None:
        """Two empty hosts, one guest on the source, and agents that have seen it."""
        clear(self.scene.lab)
        create(self.scene.source, self.guest)
        self.before = beat_of(wait_for_beat(self.scene.source, self.guest.name))
        self.stage.wait_for_agents(HOSTS, now())

    def start(self) -> None:
        """The rollout that will move the guest."""
        self.stage.obey("rollout", "start", ADVISORY, "--reason", self.scene.case)
        self.rollout_id = self.stage.store.ids()[-1]

    def the_move(self, book: Book) -> Step:
        """The first move of the guest; there is one."""
        return next(s for s in book.steps.values() if s.kind is Kind.MOVE)

    def outcome(self, *wanted: str) -> str:
        """Waits until the move is settled as one of `wanted`; how it was settled."""
        said: list[Happening] = []

        def over(book: Book) -> bool:
            move = self.the_move(book).id
            said[:] = [
                one
                for one in self.stage.store.happenings(self.rollout_id, 200)
                if one.step == move and one.kind in wanted
            ]
            return bool(said) or book.rollout.state in ENDED

        book = self.stage.follow(self.rollout_id, over, SETTLE_TIMEOUT_S)
        assert said, f"the rollout is {book.rollout.state}, and the move was never {wanted}"
        step, hold = self.the_move(book), book.rollout.hold
        self.note(f"settled as {said[-1].kind}: {said[-1].text}")
        why = f" ({hold.reason})" if hold else ""
        self.note(f"the step is {step.state}, the rollout {book.rollout.state}{why}")
        return said[-1].kind

    def heard(self, kind: str) -> None:
        """Waits for an event of this kind."""

        def said() -> list[str]:
            found = self.stage.store.happenings(self.rollout_id, 200)
            return [one.text for one in found if one.kind == kind]

        self.stage.follow(self.rollout_id, lambda _: bool(said()), SETTLE_TIMEOUT_S)
        self.note(f"{kind}: {said()[-1]}")

    def stopped(self) -> str:
        """Waits until the rollout has stopped; why it did."""
        book = self.stage.follow(
            self.rollout_id, lambda b: b.rollout.state is RolloutState.STOPPED, SETTLE_TIMEOUT_S
        )
        reason = book.rollout.hold.reason if book.rollout.hold else ""
        self.note(f"the rollout stopped: {reason}")
        return reason

    def halt(self) -> None:
        """No new step from this very moment: the host must not be rebooted here."""
        self.stage.store.want(self.rollout_id, Wanted.ABORT, "the lab", "case over", now())

    def end(self) -> None:
        """Ends the rollout; what it cannot tell by itself ends with the guest."""
        if self.rollout_id:
            self.halt()
        clear(self.scene.lab)
        if not self.rollout_id:
            return
        self.stage.follow(
            self.rollout_id, lambda book: book.rollout.state in ENDED, SETTLE_TIMEOUT_S
        )

    def where(self) -> dict[str, Beat]:
        """host -> the beat of the guest there, for each host where it runs now."""
        found = {}
        for host in HOSTS:
            remote = self.scene.lab.remote(host)
            shown = remote.run(
                f"xenstore-read /local/domain/$(xl domid {self.guest.name})/data/beat"
            )
            beat = beat_of(shown.out) if shown.code == 0 else None
            if beat is not None:
                found[host] = beat
        return found

    def alive_on(self, host: str) -> None:
        """The guest goes on, the same boot of it, on this host and on no other."""
        first = self.where()
        assert list(first) == [host], f"{self.guest.name} is on {list(first)}"
        time.sleep(4)
        second = self.where()[host]
        assert self.before is not None
        assert second.boot_id == self.before.boot_id, "the guest was booted again"
        assert second.tick > first[host].tick >= self.before.tick, "its counter stands"
        self.note(
            f"seen from outside: {self.guest.name} runs on {host}, same boot id, "
            f"tick {self.before.tick} -> {second.tick}"
        )

    def write(self, folder: Path) -> None:
        """What there is to keep of this case: what was noted, xl's own words, both hosts."""
        lines = [f"{text}\n" for text in self.told]
        words = JOURNALS.format(pattern=f"{self.rollout_id or 'none'}-*")
        for host in HOSTS:
            lines += [f"\n# attempts of {host}\n", self.scene.lab.remote(host).run(words).out]
        lines += ["\n", *self.scene.seen]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"rollout-{self.scene.case}.txt").write_text("".join(lines))


def never_twice(sightings: Sequence[Sighting]) -> None:
    assert list(running_twice(sightings)) == []


def play(
    stage: Stage, plays: list[Play], case: str, guest: Guest, act: Callable[[Play], None]
) -> None:
    """One case from its beginning to its end, watched from outside all the time."""
    scene = Scene(stage.lab, case, guest)
    one = Play(stage, scene)
    one.set_up()
    plays.append(one)
    with Watch([stage.lab.remote(host) for host in HOSTS]) as watch:
        try:
            one.start()
            act(one)
            scene.look("after")
        finally:
            sightings = watch.sightings()
    never_twice(sightings)
