"""What a command prints: a table for people, JSON or YAML for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from scheduler.cli_form import Format
from scheduler.text import plain

__all__ = [
    "Column",
    "Format",
    "Row",
    "document",
    "minute",
    "print_lines",
    "print_rows",
    "print_whole",
]

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """A column of a table: a field of each row, or what a function makes of the row."""

    head: str
    cell: str | Callable[[Row], object]
    wide: bool = False  # shown by `-o wide` alone

    def of(self, row: Row) -> str:
        """The cell, printable."""
        value = row.get(self.cell) if isinstance(self.cell, str) else self.cell(row)
        return "-" if value in (None, "", [], ()) else plain(str(value))


def minute(field: str) -> Callable[[Row], str]:
    """A cell with a moment of the row to the minute, where there is one."""
    return lambda row: (row[field] or "")[:16].replace("T", " ")


def document(value: object, form: Format) -> str:
    """The value as JSON or YAML; control characters are escaped in both."""
    if form is Format.JSON:
        return json.dumps(value, indent=2)
    import yaml

    return yaml.safe_dump(value, sort_keys=False, width=1000).rstrip("\n")


def print_rows(rows: Sequence[Row], columns: Iterable[Column], form: Format) -> None:
    """The rows in this format."""
    if form.for_programs:
        print(document(list(rows), form))
        return
    shown = [column for column in columns if form is Format.WIDE or not column.wide]
    table = Table(box=None, pad_edge=False)
    for column in shown:
        table.add_column(column.head, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(column.of(row)) for column in shown))
    print_whole(table)


def print_whole(picture: RenderableType) -> None:
    """A picture that fits the terminal; a program that reads it gets its lines whole."""
    if sys.stdout.isatty():
        Console().print(picture)
        return
    console = Console(width=10_000)
    with console.capture() as capture:
        console.print(picture)
    print("\n".join(line.rstrip() for line in capture.get().splitlines()))


def print_lines(value: object, lines: Iterable[str], form: Format) -> None:
    """One thing: these lines, or the whole of it as a document."""
    if form.for_programs:
        print(document(value, form))
        return
    for line in lines:
        print(plain(line))
