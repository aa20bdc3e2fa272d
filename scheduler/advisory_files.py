"""Advisories from files: the public `xsa.json`, and YAML that an operator writes."""

from __future__ import annotations

import json
from typing import Any

import yaml
from pydantic import ValidationError

from scheduler.advisory import Advisory


class AdvisoryError(Exception):
    """The file holds no advisories; `problems` has a line for each reason."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load_advisories(data: bytes) -> list[Advisory]:
    """The advisories of a YAML or JSON document, or of the public `xsa.json`.

    Raises AdvisoryError.
    """
    try:
        document = yaml.safe_load(data.decode())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise AdvisoryError([f"not a YAML or JSON document: {_short(error)}"]) from None
    if _is_public_list(document):
        return _parse([_from_public(entry) for entry in document[0]["xsas"]], "[0].xsas")
    entries = document if isinstance(document, list) else [document] if document else []
    return _parse(entries, "")


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _is_public_list(document: Any) -> bool:
    first = document[0] if isinstance(document, list) and document else None
    return isinstance(first, dict) and isinstance(first.get("xsas"), list)


def _from_public(entry: Any) -> Any:
    """`xsa`, `title`, `cve` and `public_time`; an entry that is still secret lacks the last."""
    if not isinstance(entry, dict):
        return entry
    number, cves = entry.get("xsa"), entry.get("cve") or []
    return {
        "id": f"XSA-{number}",
        "title": entry.get("title") or "",
        "cves": [cves] if isinstance(cves, str) else cves,
    }


def _parse(entries: list[Any], where: str) -> list[Advisory]:
    advisories, problems = [], []
    for index, entry in enumerate(entries):
        try:
            advisories.append(Advisory.model_validate_json(json.dumps(entry, default=str)))
        except ValidationError as error:
            for one in error.errors():
                path = ".".join(str(part) for part in one["loc"])
                what = f".{path}: {one['msg']}" if path else ": expected an advisory, with its id"
                problems.append(f"{where}[{index}]{what}")
    if not entries:
        problems.append("there is no advisory in it")
    if problems:
        raise AdvisoryError(problems[:20])
    return advisories
