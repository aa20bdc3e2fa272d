"""Every address and every command there is, found by looking: none can be forgotten by a test."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import typer.main
from fastapi.routing import APIRoute

from scheduler.cli import build
from scheduler.service.app import PAGES
from scheduler.service.openapi import document

STREAM = "/api/v1/events"
"""It never ends: whoever walks looks at it apart."""
PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")


def filled(path: str, values: Mapping[str, str]) -> str:
    """A path with its parameters filled in: from `FOLDER/NAME`, else from `NAME`.

    Raises KeyError for a parameter that nobody has thought of: add it to what is given.
    """
    folders = path.split("/")

    def value(match: re.Match[str]) -> str:
        folder = folders[folders.index(match.group()) - 1]
        return values.get(f"{folder}/{match[1]}") or values[match[1]]

    return PARAMETER.sub(value, path)


def paths(method: str) -> list[str]:
    """The path of everything that is served by this method, API and pages; not the stream."""
    described = document()["paths"].items()
    api = [path for path, methods in described if method.lower() in methods and path != STREAM]
    pages = [
        route.path
        for part in PAGES
        for route in part.router.routes
        if isinstance(route, APIRoute) and method in (route.methods or ())
    ]
    return sorted({*api, *pages})


def readable(values: Mapping[str, str]) -> list[str]:
    """Everything that can be read, its parameters filled in."""
    return [filled(path, values) for path in paths("GET")]


def changing(values: Mapping[str, str]) -> list[tuple[str, str]]:
    """(method, path) of everything that changes something."""
    methods = ("POST", "PUT", "DELETE", "PATCH")
    return [(method, filled(path, values)) for method in methods for path in paths(method)]


def commands(command: Any = None, words: tuple[str, ...] = ()) -> Iterator[tuple[list[str], Any]]:
    """The words of every command of `xenroll`, and what it is."""
    command = command or typer.main.get_command(build())
    below = getattr(command, "commands", None)
    if below is None:
        yield list(words), command
        return
    for name, one in below.items():
        yield from commands(one, (*words, name))


def option(command: Any, name: str) -> bool:
    """Whether a command has this option."""
    return any(name in one.opts for one in command.params)


def over_the_api() -> list[tuple[list[str], Any]]:
    """Every command that asks the service."""
    return [
        (words, one)
        for words, one in commands()
        if option(one, "--server") and words[1:] != ["enroll"]
    ]
