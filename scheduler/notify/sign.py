"""Signatures as in Standard Webhooks 1.0, for which receivers find libraries in most languages.

| header | what |
|---|---|
| `webhook-id` | the event's id: the same on every try, whoever sends it again |
| `webhook-timestamp` | seconds since the epoch when this try began |
| `webhook-signature` | `v1,BASE64` of HMAC-SHA256 over `ID.TIMESTAMP.BODY`; one for each secret |

A receiver refuses a timestamp more than five minutes off and an id that it has seen: then a copy
of a message is worth nothing to whoever caught it, and a repeat after a lost answer does no harm.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence

TOLERANCE_S = 300


def headers(secrets: Sequence[bytes], message_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """The three headers; without a secret there is no signature."""
    found = {"webhook-id": message_id, "webhook-timestamp": str(at_s)}
    if secrets:
        signed = (_signature(secret, message_id, at_s, body) for secret in secrets)
        found["webhook-signature"] = " ".join(f"v1,{one}" for one in signed)
    return found


def _signature(secret: bytes, message_id: str, at_s: int, body: bytes) -> str:
    text = f"{message_id}.{at_s}.".encode() + body
    return base64.b64encode(hmac.new(secret, text, hashlib.sha256).digest()).decode()


def genuine(secret: bytes, got: Mapping[str, str], body: bytes, now_s: float) -> bool:
    """What a receiver does: whether this message is ours and of these minutes.

    `got` has the names of its headers in small letters. The id must be looked up by the receiver.
    """
    at, message_id = got.get("webhook-timestamp", ""), got.get("webhook-id", "")
    if not at.isdecimal() or abs(now_s - int(at)) > TOLERANCE_S:
        return False
    right = f"v1,{_signature(secret, message_id, int(at), body)}"
    given = got.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(one.encode(), right.encode()) for one in given)
