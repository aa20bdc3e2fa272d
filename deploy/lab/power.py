"""What a machine's power supply does: a host that rebooted into a new hypervisor comes on again."""

from collections.abc import Callable, Iterable, Sequence

from deploy.lab import machine
from deploy.lab.background import Background
from deploy.lab.errors import LabError
from deploy.lab.lab import Lab
from deploy.lab.remote import disconnect

POLL_S = 0.5


class Power(Background):
    """`with Power(lab, names) as power:` switches on again whoever switched itself off.

    `power.problems` holds what went wrong, for the one who asks at the end.
    """

    def __init__(self, lab: Lab, names: Sequence[str]) -> None:
        super().__init__()
        self._lab = lab
        self._names = list(names)
        self.problems: list[str] = []
        self.restarts: list[str] = []

    def work(self) -> Iterable[Callable[[], None]]:
        return (self._tend,)

    def _tend(self) -> None:
        while not self.over.wait(POLL_S):
            for name in list(self._names):
                host = self._lab.layout.host(name)
                if machine.went_off(host):
                    self._restart(name)

    def _restart(self, name: str) -> None:
        host = self._lab.layout.host(name)
        self._lab.say(f"{name} went down; it is switched on again")
        disconnect(host)
        try:
            machine.switch_on(self._lab.layout, host, self._lab.images, self._lab.size)
            self.restarts.append(name)
        except LabError as problem:
            self.problems.append(f"{name}: {problem}")
            self._names.remove(name)
