"""Names of guests that mean harm: to a browser, a terminal, a log, a file system, a parser."""

from __future__ import annotations

HOSTILE = (
    '<script>alert("x")</script>',
    "\x1b[31mred\x1b[0m\x07",
    "two\nlines\r\nSet-Cookie: a=b",
    "'\"><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}${7*7}",
    "\u202egnp.exe\u2066",
    "../../etc/passwd",
    "a b?c#d%2F&e=f",
    "--help",
    "[bold]x[/bold] [link=https://evil.example]y",
    'evil"} 1\nxenroll_vms_running_twice 99',
    "| a | b |\n# heading `code` [x](javascript:alert(1))",
    "x" * 10_000,
)

THAT_FIT = tuple(name[:255] for name in HOSTILE)
"""The same, none longer than a report's name may be."""
