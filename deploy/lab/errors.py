"""What the lab says when it cannot go on."""


class LabError(Exception):
    """One line that names what is wrong, then at most the last lines of the log that tells why."""

    def __init__(self, what: str, log_tail: str = "") -> None:
        super().__init__(f"{what}\n{log_tail}" if log_tail else what)
