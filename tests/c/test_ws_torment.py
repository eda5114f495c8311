"""ws_torment.c under AddressSanitizer and UBSan, on both builds."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from c.conftest import BUILDS, HERE, SOURCES, compile_c

SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
LEAVES = ("fs_ws_frame", "fs_mask", "fs_utf8")


@pytest.mark.parametrize("build", sorted(BUILDS))
def test_random_frames_masks_and_texts_under_the_sanitizers(tmp_path: Path, build: str) -> None:
    sources = [SOURCES / f"{leaf}.c" for leaf in LEAVES]
    flags = (*SANITIZED, *BUILDS[build])
    program = compile_c(tmp_path / "torment", *flags, HERE / "ws_torment.c", *sources)
    done = subprocess.run(
        [program, "0.8", "20"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 1000
