"""The scripts that write rollouts: each is one atomic change (keys: `scheduler.store`)."""

from __future__ import annotations

from scheduler.closed import CLOSED_LUA

SAVE_LUA = (
    """
-- KEYS[1]: the rollout's prefix.  ARGV[1]: the change as JSON, ARGV[2]: expected version,
-- ARGV[3]: writer.  All or nothing; a repeated call after a lost reply is taken as the first.
local base = KEYS[1]
local now = redis.call('GET', base .. ':version') or '0 -'
local mine = tostring(tonumber(ARGV[2]) + 1) .. ' ' .. ARGV[3]
if now == mine then return 'again' end
if string.match(now, '^%d+') ~= ARGV[2] then return 'conflict' end
local change = cjson.decode(ARGV[1])
redis.call('SET', base, change.head)
redis.call('SET', base .. ':version', mine)
if change.created then redis.call('ZADD', 'xr:rollouts', change.created[1], change.created[2]) end
for table_name, records in pairs(change.tables) do
  for name, record in pairs(records) do
    redis.call('HSET', base .. ':' .. table_name, name, record)
  end
end
for _, order in ipairs(change.orders) do redis.call('HSET', order[1], order[2], order[3]) end
for _, brief in ipairs(change.briefs) do
  redis.call('HSET', brief[1], brief[3], '1')
  redis.call('SET', brief[2], '1', 'PX', brief[4])
end
for _, drop in ipairs(change.drops) do
  redis.call('HDEL', drop[1], drop[3])
  redis.call('HDEL', drop[2], drop[3])
end
for _, line in ipairs(change.happenings) do
  redis.call('XADD', base .. ':events', 'MAXLEN', '~', '200000', '*', 'h', line)
end
-- A doubt pauses the hosts; what a person said meanwhile, a pause or an abort, is left as it is.
if change.wanted and redis.call('HGET', change.wanted[1], 'wanted') == 'run' then
  redis.call('HSET', change.wanted[1], 'wanted', change.wanted[2],
    'by', 'xenroll', 'reason', change.wanted[3], 'at', change.wanted[4])
end
"""
    + CLOSED_LUA
    + "return 'saved'"
)

WANT_LUA = """
-- KEYS: control.  ARGV: wanted, by, reason, time.  What a person wants; hosts obey at once.
if redis.call('HGET', KEYS[1], 'wanted') == 'abort' then return 'aborted' end
redis.call('HSET', KEYS[1], 'wanted', ARGV[1], 'by', ARGV[2], 'reason', ARGV[3], 'at', ARGV[4])
if ARGV[1] == 'abort' then redis.call('HINCRBY', KEYS[1], 'epoch', 1) end
return 'ok'
"""

WISH_LUA = """
-- KEYS: control.  ARGV: part, wish as JSON.  What a person wants of a wave or a host; hosts obey
-- at once. An abort, of the part or of the rollout, is never taken back.
if redis.call('HGET', KEYS[1], 'wanted') == 'abort' then return 'aborted' end
local before = redis.call('HGET', KEYS[1], ARGV[1])
if before and cjson.decode(before)['wanted'] == 'abort' then return 'part aborted' end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 'ok'
"""

OWN_LUA = """
-- KEYS: owner hash.  ARGV: rollout, then hosts.  All the hosts, or none and who has the first.
-- A rollout that has ended owns nothing, even if its controller died before it gave its hosts back.
local function lives(rollout)
  local head = redis.call('GET', 'xr:rollout:' .. rollout)
  local state = head and cjson.decode(head)['state']
  return state and state ~= 'done' and state ~= 'aborted'
end
for i = 2, #ARGV do
  local owner = redis.call('HGET', KEYS[1], ARGV[i])
  local alive = owner and lives(owner)
  if alive and owner ~= ARGV[1] then return {ARGV[i], owner} end
end
for i = 2, #ARGV do redis.call('HSET', KEYS[1], ARGV[i], ARGV[1]) end
return {}
"""
