"""The syntax of xl.cfg: `key = value` with strings, numbers and lists, as libxlu reads it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    Value = str | list["Value"]


class ConfigError(ValueError):
    """The text is no xl.cfg; the message is what xl prints."""


def parse_cfg(text: str, source: str) -> dict[str, Value]:
    """Every setting by name; numbers stay text.  ConfigError names file and line."""
    tokens = _tokens(text, source)
    settings: dict[str, Value] = {}
    position = 0
    while position < len(tokens):
        kind, word, line = tokens[position]
        if kind == "end":
            position += 1
            continue
        follows = tokens[position + 1][0] if position + 1 < len(tokens) else "end"
        if kind != "word" or follows not in ("=", "+="):
            raise ConfigError(f"{source}:{line}: config parsing error near `{word}': syntax error")
        value, after = _value(tokens, position + 2, source)
        before = settings.get(word)
        if follows == "+=" and isinstance(before, list) and isinstance(value, list):
            value = before + value
        settings[word] = value
        position = after
    return settings


def _value(tokens: list[tuple[str, str, int]], at: int, source: str) -> tuple[Value, int]:
    kind, word, line = tokens[at] if at < len(tokens) else ("end", "", 0)
    if kind in ("string", "word"):
        return word, at + 1
    if kind != "[":
        raise ConfigError(f"{source}:{line}: config parsing error near `{word}': syntax error")
    items: list[Value] = []
    at += 1
    while True:
        kind, word, line = tokens[at] if at < len(tokens) else ("missing", "", line)
        if kind == "]":
            return items, at + 1
        if kind in (",", "end"):
            at += 1
        elif kind in ("string", "word", "["):
            item, at = _value(tokens, at, source)
            items.append(item)
        else:
            raise ConfigError(f"{source}:{line}: config parsing error: unclosed list")


def _tokens(text: str, source: str) -> list[tuple[str, str, int]]:
    """(kind, text, line); a new line or `;` is an `end`."""
    tokens: list[tuple[str, str, int]] = []
    line, at = 1, 0
    while at < len(text):
        char = text[at]
        if char == "#":
            while at < len(text) and text[at] != "\n":
                at += 1
        elif char in "\n;":
            tokens.append(("end", "", line))
            line += char == "\n"
            at += 1
        elif char in " \t\r":
            at += 1
        elif char in "\"'":
            end = text.find(char, at + 1)
            if end < 0:
                raise ConfigError(f"{source}:{line}: config parsing error: unterminated string")
            tokens.append(("string", text[at + 1 : end], line))
            line += text.count("\n", at, end)
            at = end + 1
        else:
            at = _plain(text, at, line, tokens, source)
    return tokens


def _plain(text: str, at: int, line: int, tokens: list[tuple[str, str, int]], source: str) -> int:
    """One sign or bare word from `at`; where it ends."""
    for sign in ("+=", "=", "[", "]", ","):
        if text.startswith(sign, at):
            tokens.append((sign, sign, line))
            return at + len(sign)
    end = at
    while end < len(text) and (text[end].isalnum() or text[end] in "_-.:/"):
        end += 1
    if end == at:
        raise ConfigError(f"{source}:{line}: config parsing error near `{text[at]}': lexical error")
    tokens.append(("word", text[at:end], line))
    return end
