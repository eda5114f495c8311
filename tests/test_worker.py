"""What a worker and its supervisor tell each other."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

from support.process import PATIENCE, clean_environment

from fastserve import Config
from fastserve.worker import Order, Report, longest_stop


def test_reports_survive_the_pipe_however_it_is_cut() -> None:
    reports = [Report("ready"), Report("failed", "no", "Traceback\n  x\n"), Report("leaving")]
    data, taken = bytearray(), []
    for byte in b"".join(each.encode() for each in reports):
        data.append(byte)
        taken += Report.take(data)
    assert taken == reports
    assert data == b""


def test_half_a_report_stays() -> None:
    data = bytearray(Report("ready").encode()[:-3])
    assert Report.take(data) == []
    assert data


def test_the_longest_stop_is_the_sum_of_the_phases() -> None:
    longest = longest_stop(Config("m:a", timeout_graceful_shutdown=20, timeout_lifespan=5))
    assert longest is not None
    assert 28.5 < longest < 35
    assert longest_stop(Config("m:a", timeout_lifespan=0)) is None


def test_a_worker_reports_a_failure_and_says_nothing_itself(tmp_path: Path) -> None:
    order_read, order_write = os.pipe()
    report_read, report_write = os.pipe()
    life_read, life_write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "fastserve.worker"]
        + [str(fd) for fd in (order_read, report_write, life_read)],
        pass_fds=[order_read, report_write, life_read],
        cwd=tmp_path,
        env=clean_environment(),
        stderr=subprocess.PIPE,
    )
    for fd in (order_read, report_write, life_read):
        os.close(fd)
    with open(order_write, "wb") as file:
        pickle.dump(Order(Config("fs_not_there:app"), list(sys.path), ["x"]), file)
    with open(report_read, "rb") as file:
        reports = Report.take(bytearray(file.read()))
    _, err = process.communicate(timeout=PATIENCE)
    os.close(life_write)
    assert [each.state for each in reports] == ["failed"]
    assert "there is no module 'fs_not_there'" in reports[0].message
    assert (process.returncode, err) == (3, b"")
