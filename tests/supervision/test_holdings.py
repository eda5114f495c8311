"""What lasts as long as the service: taken together, let go together, handed over."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from fastserve import Config
from fastserve.errors import BindError, FastserveError
from fastserve.supervision.holdings import Holdings


def config(**options: Any) -> Config:
    settings: dict[str, Any] = {"port": 0, "workers": 2} | options
    return Config("x:app", **settings)


def test_it_opens_a_slot_for_each_worker_a_board_and_the_admin_address(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    held = Holdings.open(config(admin_bind="127.0.0.1:0", pid_file=str(file)), {})
    assert len(held.listeners.slots) == 2
    assert held.board.phase == "starting"
    assert held.admin_sockets is not None
    assert file.read_text() == f"{os.getpid()}\n"
    held.close()
    assert not file.exists()
    assert held.board.fd is None
    assert all(each.fileno() == -1 for slot in held.listeners.slots for each in slot)
    assert [each.fileno() for each in held.admin_sockets] == [-1]


def test_without_an_admin_address_there_are_no_sockets_for_it() -> None:
    held = Holdings.open(config(), {})
    assert held.admin_sockets is None
    held.close()


def test_what_cannot_all_be_had_is_not_kept_at_all(tmp_path: Path) -> None:
    file, path = tmp_path / "pid", tmp_path / "s"
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        options = {"uds": str(path), "pid_file": str(file), "admin_bind": taken}
        with pytest.raises(BindError):
            Holdings.open(Config("x:app", workers=2, **options), {})
    assert not file.exists()
    assert not path.exists()


def test_a_second_one_with_the_same_pid_file_binds_nothing(tmp_path: Path) -> None:
    file, path = tmp_path / "pid", tmp_path / "s"
    held = Holdings.open(config(pid_file=str(file)), {})
    with pytest.raises(FastserveError, match="already running"):
        Holdings.open(Config("x:app", workers=2, uds=str(path), pid_file=str(file)), {})
    assert not path.exists()
    assert file.exists()
    held.close()


def descriptors(held: Holdings) -> list[int]:
    sockets = [each.fileno() for slot in held.listeners.slots for each in slot]
    admin = [each.fileno() for each in held.admin_sockets or []]
    assert held.board.fd is not None
    return [*sockets, *admin, held.board.fd]


def test_what_is_handed_over_lasts_until_the_next_program_did_not_come(tmp_path: Path) -> None:
    held = Holdings.open(config(admin_bind="127.0.0.1:0", pid_file=str(tmp_path / "pid")), {})
    fds = descriptors(held)
    assert not any(map(os.get_inheritable, fds))
    held.handover()
    assert all(map(os.get_inheritable, fds))
    held.keep()
    assert not any(map(os.get_inheritable, fds))
    held.close()


def test_the_next_program_holds_the_same(tmp_path: Path) -> None:
    options = config(admin_bind="127.0.0.1:0", pid_file=str(tmp_path / "pid"))
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    held = Holdings.open(options, environment)
    held.board.count_restart("reload")
    again = Holdings.adopt(held.handover(), options)
    assert descriptors(again) == descriptors(held)
    assert not any(map(os.get_inheritable, descriptors(again)))
    assert again.listeners.urls == held.listeners.urls
    assert again.board.restarts["reload"] == 1
    assert again.notifier == held.notifier
    assert again.notifier.address == str(tmp_path / "notify")
    # What goes on living is one of the two: the other lets go of its numbers without closing them.
    for slot in [*held.listeners.slots, held.admin_sockets or []]:
        for each in slot:
            each.detach()
    again.close()
    assert not (tmp_path / "pid").exists()


def test_other_addresses_are_told_to_need_a_restart(logs: Any) -> None:
    held = Holdings.open(config(), {})
    again = Holdings.adopt(held.handover(), config(port=8001))
    assert any("the addresses stay until a restart: " in text for text in logs.noise)
    assert again.listeners.urls == held.listeners.urls
    for slot in held.listeners.slots:
        for each in slot:
            each.detach()
    again.close()
