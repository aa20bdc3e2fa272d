"""Names in Redis, and the two scripts that decide whether an attempt may start."""

from __future__ import annotations

import re


def host_slug(host: str) -> str:
    """A host's name in the letters that RQ allows, without `-`, and never equal for two hosts."""
    return re.sub(r"[^A-Za-z0-9]", lambda m: f"_{ord(m.group()):02x}_", host)


def queue_name(host: str) -> str:
    """The RQ queue that this host's workers, and nobody else, listen on."""
    return f"host-{host_slug(host)}"


def job_id(host: str, attempt_id: str) -> str:
    """The RQ job of an attempt; it starts with the host so that its Redis user can be fenced."""
    return f"{host_slug(host)}-{attempt_id}"


JOB_FUNCTION = "step.run"
"""The only function that a job may name; its one argument is the attempt's id."""


class keys:
    """Names of Redis keys. A host writes `report`, `wake` and `claims`; it reads the others."""

    hosts = "xr:hosts"  # hash: host -> {"address": …}; written when a host is enrolled

    @staticmethod
    def report(host: str) -> str:
        """String: the host's newest Report."""
        return f"xr:host:{host_slug(host)}:report"

    @staticmethod
    def wake(host: str) -> str:
        """List: an element makes the agent look at once."""
        return f"xr:host:{host_slug(host)}:wake"

    @staticmethod
    def claims(host: str) -> str:
        """Hash: attempt id -> time; set atomically with the last look at the control record.

        The value becomes `SETTLED` as soon as the host knows whether the attempt has started.
        """
        return f"xr:host:{host_slug(host)}:claims"

    @staticmethod
    def orders(host: str) -> str:
        """Hash: attempt id -> Order; an attempt whose order is gone never starts."""
        return f"xr:order:{host_slug(host)}:orders"

    @staticmethod
    def brief(host: str) -> str:
        """Hash: attempt id -> anything, of orders that count only while their `until` exists."""
        return f"xr:order:{host_slug(host)}:brief"

    @staticmethod
    def until(host: str, attempt_id: str) -> str:
        """String with an expiry: while it exists, the brief order of this attempt counts."""
        return f"xr:order:{host_slug(host)}:until:{attempt_id}"

    @staticmethod
    def look(host: str) -> str:
        """Number: how many looks the controller has wanted; a Report says which it answers."""
        return f"xr:order:{host_slug(host)}:look"

    @staticmethod
    def notices(host: str) -> str:
        """Hash: guest -> Notice; what this host's guests are to be told."""
        return f"xr:order:{host_slug(host)}:notices"

    @staticmethod
    def disks(host: str) -> str:
        """String: a JSON list of paths; its agent's reports say what is there, while it exists."""
        return f"xr:order:{host_slug(host)}:disks"

    @staticmethod
    def control(rollout_id: str) -> str:
        """Hash: `wanted`, `epoch`, `by`, `reason`, `at`; `wave:N`, `host:NAME` with JSON wishes."""
        return f"xr:control:{rollout_id}"


CLAIM_LUA = """
-- KEYS: control, orders, claims.  ARGV: attempt id, epoch, time.
-- One atomic answer to "may this attempt start now?"; pause and abort act from this very moment.
-- After an abort only what brings guests back may start: the abort raised the epoch, so such an
-- order was given knowing of it. The same holds for an abort of a wave or a host alone. A pause
-- of a wave or a host is older than the rollout's abort: it keeps no guest from coming back.
local wanted = redis.call('HGET', KEYS[1], 'wanted')
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch or tonumber(ARGV[2]) ~= tonumber(epoch) then return 'stale' end
local raw = redis.call('HGET', KEYS[2], ARGV[1])
if not raw then return 'revoked' end
if wanted == 'pause' then return 'paused' end
-- What wakes or starts a guest was decided on what other hosts showed: an order that lay for long
-- (its workers were dead, the server was away) counts no more, and is given anew after new looks.
local brief, asked = string.gsub(KEYS[2], 'orders$', 'brief')
if asked == 1 and redis.call('HEXISTS', brief, ARGV[1]) == 1
  and redis.call('EXISTS', string.gsub(KEYS[2], 'orders$', '') .. 'until:' .. ARGV[1]) == 0 then
  return 'stale'
end
local order = cjson.decode(raw)
local brings_back = order.kind == 'start' or order.kind == 'mend' or order.kind == 'retune'
if wanted ~= 'run' and not (wanted == 'abort' and brings_back) then return 'aborted' end
local parts = {'host:' .. order.host}
if type(order.destination) == 'string' then parts[2] = 'host:' .. order.destination end
if type(order.wave) == 'number' then
  parts[#parts + 1] = 'wave:' .. string.format('%d', order.wave)
end
local aborted = false
for _, part in ipairs(parts) do
  local wish = redis.call('HGET', KEYS[1], part)
  local said = wish and cjson.decode(wish)['wanted'] or 'run'
  if said == 'pause' and wanted ~= 'abort' then return 'paused' end
  aborted = aborted or said ~= 'run'
end
if aborted and not brings_back then return 'aborted' end
redis.call('HSETNX', KEYS[3], ARGV[1], ARGV[3])
return 'run'
"""

SETTLED = "settled"
"""A claim's value once its attempt has started or was refused: a pause need not wait for it."""

REVOKE_LUA = """
-- KEYS: orders, claims.  ARGV: attempt id.  Takes an order back unless a host has claimed it.
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then return 'claimed' end
redis.call('HDEL', KEYS[1], ARGV[1])
return 'revoked'
"""
