"""The command line of `ssh`, as far as one uses it to carry a migration."""

from __future__ import annotations

from scheduler.standin.dom0 import Exit, complain

WITH_VALUE = "BbcDEeFIiJLlmOopQRSWw"
PLAIN = "46AaCfGgKkMNnqsTtVvXxYy"
USAGE = "usage: ssh [-46AaCfGgKkMNnqsTtVvXxYy] destination [command [argument ...]]\n"


class Options:
    """What was asked for: destination, command and the few options that change behaviour here."""

    def __init__(self, words: list[str]) -> None:
        self.port = "22"
        self.values: dict[str, str] = {}
        self.quiet = False
        rest = self._read(list(words))
        if not rest:
            complain(USAGE)
            raise Exit(255)
        self.host = rest[0].rpartition("@")[2]
        self.user = rest[0].rpartition("@")[0] or "root"
        self.command = " ".join(rest[1:])

    def _read(self, words: list[str]) -> list[str]:
        while words and words[0].startswith("-") and words[0] != "-":
            word = words.pop(0)
            if word == "--":
                break
            self._cluster(word[1:], words)
        return words

    def _cluster(self, letters: str, words: list[str]) -> None:
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in WITH_VALUE:
                value = letters or (words.pop(0) if words else "")
                self._option(letter, value)
                return
            if letter not in PLAIN:
                complain(f"unknown option -- {letter}\n{USAGE}")
                raise Exit(255)
            self.quiet = self.quiet or letter == "q"

    def _option(self, letter: str, value: str) -> None:
        if letter == "p":
            self.port = value
        elif letter == "i":
            self._identity(value)
        elif letter == "o":
            name, _, text = value.replace("=", " ", 1).strip().partition(" ")
            self.values[name.lower()] = text.strip()

    def _identity(self, path: str) -> None:
        import os

        if not os.path.exists(path):
            complain(f"Warning: Identity file {path} not accessible: No such file or directory.\n")

    def seconds(self, name: str) -> float:
        """The value of an option in seconds; 0 where it is not set."""
        text = self.values.get(name.lower(), "0")
        return float(text) if text.isdigit() else 0.0

    @property
    def port_asked(self) -> str:
        return self.values.get("port", self.port)

    def informs(self) -> bool:
        """Whether messages of level INFO are shown."""
        level = self.values.get("loglevel", "INFO").upper()
        return not self.quiet and level not in ("QUIET", "FATAL", "ERROR")
