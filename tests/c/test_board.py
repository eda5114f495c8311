"""fs_board is a header alone: a program that checks it, under the sanitizers."""

from __future__ import annotations

import subprocess
from pathlib import Path

from c.conftest import HERE, compile_c


def test_layout_counts_and_texts(tmp_path: Path) -> None:
    sanitize = "-fsanitize=address,undefined"
    program = compile_c(
        tmp_path / "board", "-g", sanitize, "-fno-sanitize-recover=all", HERE / "board.c"
    )
    done = subprocess.run([program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
