"""How failures are told."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from fastserve.errors import AppError, ConfigError, FastserveError, app_traceback


def test_a_report_is_the_applications_text_and_then_one_line() -> None:
    assert FastserveError("no").report() == "fastserve: no"
    assert AppError("no", details="Traceback\n  x\n").report() == "Traceback\n  x\nfastserve: no"


def test_usage_errors_exit_with_2_and_others_with_3() -> None:
    assert ConfigError("x").status == 2
    assert AppError("x").status == 3


def test_a_traceback_shows_the_applications_frames_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fs_breaks.py").write_text(
        "def f():\n    try:\n        1 / 0\n    except ZeroDivisionError as e:\n"
        "        raise ValueError('no') from e\nf()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="no") as caught:
        importlib.import_module("fs_breaks")
    sys.modules.pop("fs_breaks", None)
    told = app_traceback(caught.value)
    assert "importlib/__init__.py" not in told
    assert "<frozen" not in told
    assert told.count("fs_breaks.py") == 3
    assert "ZeroDivisionError" in told
    assert told.rstrip().endswith("ValueError: no")


def test_groups_and_cycles_of_causes_are_told() -> None:
    first, second = ValueError("one"), TypeError("two")
    first.__cause__, second.__cause__ = second, first
    told = app_traceback(ExceptionGroup("both", [first, second]))
    assert "one" in told
    assert "two" in told
