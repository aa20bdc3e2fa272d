"""The server that we start ourselves: which one, where it lives, and when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from scheduler import embedded
from scheduler.embedded import EmbeddedServer, ServerError, server_program, server_url
from tests.waiting import gone, until


def program(directory: Path, name: str, says: str) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_a_server_on_the_path_that_is_new_enough_goes_first(tmp_path: Path) -> None:
    new = program(tmp_path, "redis-server", "Redis server v=7.0.15 sha=00000000:0 bits=64")
    assert server_program(str(tmp_path)) == str(new)


def test_valkey_is_preferred_to_redis(tmp_path: Path) -> None:
    program(tmp_path, "redis-server", "Redis server v=7.2.4 sha=00000000:0 bits=64")
    valkey = program(tmp_path, "valkey-server", "Valkey server v=8.1.0 sha=00000000:0 bits=64")
    assert server_program(str(tmp_path)) == str(valkey)


@pytest.mark.parametrize("says", ["Redis server v=6.2.14 sha=0", "what is a version?"])
def test_an_old_or_silent_server_on_the_path_is_passed_over(tmp_path: Path, says: str) -> None:
    program(tmp_path, "redis-server", says)
    assert server_program(str(tmp_path)) == embedded.carried_program()


def test_without_any_server_the_message_says_what_was_seen_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "redis-server", "Redis server v=6.2.14 sha=0")
    monkeypatch.setattr(embedded, "carried_program", lambda: None)
    with pytest.raises(ServerError, match=r"redis-server is 6\.2.*make setup.*XENROLL_REDIS_URL"):
        server_program(str(tmp_path))


def test_a_configured_server_is_used_and_nothing_is_started(
    valkey: EmbeddedServer, tmp_path: Path
) -> None:
    with server_url(tmp_path / "state", valkey.url) as url:
        assert url == valkey.url
    assert not (tmp_path / "state").exists()


def test_a_configured_server_that_is_away_is_named(tmp_path: Path) -> None:
    url = f"unix://{tmp_path}/nobody.sock"
    with (
        pytest.raises(ServerError, match=r"nobody\.sock: no server answers"),
        server_url(tmp_path, url),
    ):
        pass


def test_what_was_written_is_there_after_a_clean_stop_and_after_a_kill(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "state")
    server.start()
    with redis.Redis.from_url(server.url) as client:
        client.set("before", "stop")
        server.stop()
        server.start()
        assert client.get("before") == b"stop"
        client.set("before", "kill")
        assert server.process is not None
        server.process.kill()
        server.process.wait()
        server.start()
        assert client.get("before") == b"kill"
    server.stop()


def test_it_never_throws_a_key_away_and_syncs_its_file(valkey: EmbeddedServer) -> None:
    with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
        for name, value in {
            "maxmemory-policy": "noeviction",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
        }.items():
            assert client.config_get(name) == {name: value}


def test_a_second_server_on_the_same_state_directory_is_refused(tmp_path: Path) -> None:
    first, second = EmbeddedServer(tmp_path / "state"), EmbeddedServer(tmp_path / "state")
    first.start()
    with pytest.raises(ServerError, match="already runs on the state directory"):
        second.start(wait_s=0.1)
    with redis.Redis.from_url(first.url) as client:
        assert client.ping()
    first.stop()


def test_a_state_directory_too_long_for_a_socket_works_and_is_found_again(tmp_path: Path) -> None:
    state = tmp_path / ("long-" * 20) / ("name-" * 20)
    server = EmbeddedServer(state)
    assert len(os.fsencode(server.socket)) <= embedded.SOCKET_PATH_LIMIT_BYTES
    server.start()
    with redis.Redis.from_url(EmbeddedServer(state).url) as client:
        assert client.ping()
    server.stop()
    assert (state / "appendonlydir").is_dir()


def test_a_directory_that_others_can_write_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o777)
    with pytest.raises(ServerError, match="only its owner"):
        EmbeddedServer(state).start()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    broken = program(tmp_path, "valkey-server", "Valkey server v=9.1.0")
    with pytest.raises(ServerError, match=r"did not start \(exit code 0\): it left no word"):
        EmbeddedServer(tmp_path / "state", str(broken)).start()


def start_module(state: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "scheduler.embedded", str(state)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip().removeprefix("export XENROLL_REDIS_URL=")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_server_ends_with_its_parent_however_that_ends(
    tmp_path: Path, how: signal.Signals
) -> None:
    parent, url = start_module(tmp_path / "state")
    with redis.Redis.from_url(url) as client:
        pid = int(client.info("server")["process_id"])
    parent.send_signal(how)
    assert parent.wait(120) == (-9 if how == signal.SIGKILL else 0)
    parent.communicate()
    until(lambda: gone(pid), "the server's end")


def test_the_module_says_how_it_is_used() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "scheduler.embedded"], capture_output=True, text=True, timeout=60
    )
    assert (said.returncode, said.stdout) == (2, "")
    assert "STATE_DIR" in said.stderr
