"""A request that is sent twice acts once: answers are kept by `Idempotency-Key` for a day."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Annotated, Any, cast

import redis
from fastapi import Header
from fastapi.responses import JSONResponse

from scheduler.service.problem import Problem

KEPT_S = 24 * 3600
UNDER_WAY_S = 120
"""A process that dies in the middle frees the key after this."""

IdempotencyKey = Annotated[
    str,
    Header(
        pattern=r"^[A-Za-z0-9_-]{8,80}$",
        description="Chosen by the caller; the same key acts once and gives the same answer.",
    ),
]


class Once:
    """Keeps the answers of one caller's requests."""

    def __init__(self, client: redis.Redis, caller_id: str) -> None:
        self._client = client
        self._caller_id = caller_id

    def act(self, key: str, asked: str, action: Callable[[], JSONResponse]) -> JSONResponse:
        """The action's answer, or the one it gave before to the same key.

        Raises Problem 422 where the key was used for something else, 409 while it is under way, and
        what the action raises; a refusal is not kept, so the same key can be tried again.
        """
        name = f"xr:once:{self._caller_id}:{key}"
        print_ = hashlib.sha256(asked.encode()).hexdigest()
        begun = json.dumps({"asked": print_})
        if not self._client.set(name, begun, nx=True, ex=UNDER_WAY_S):
            return self._again(name, print_)
        try:
            answer = action()
        except BaseException:
            self._client.delete(name)
            raise
        kept = {
            "asked": print_,
            "status": answer.status_code,
            "body": json.loads(bytes(answer.body)),
            "location": answer.headers.get("location"),
        }
        self._client.set(name, json.dumps(kept), ex=KEPT_S)
        return answer

    def _again(self, name: str, print_: str) -> JSONResponse:
        raw = cast("bytes | None", self._client.get(name))
        kept: dict[str, Any] = json.loads(raw) if raw else {"asked": print_}
        if kept["asked"] != print_:
            said = "this Idempotency-Key was used for another request"
            raise Problem(422, "key_reused", said, [("header.idempotency-key", said)])
        if "status" not in kept:
            raise Problem(409, "under_way", "the first request of this key is still under way")
        headers = {"Idempotency-Replayed": "true"}
        if kept["location"]:
            headers["Location"] = kept["location"]
        return JSONResponse(kept["body"], kept["status"], headers)
