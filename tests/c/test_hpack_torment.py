"""hpack_torment.c under AddressSanitizer and UBSan."""

from __future__ import annotations

import subprocess
from pathlib import Path

from c.conftest import HERE, SOURCES, compile_c

SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")


def test_random_strings_and_blocks_under_the_sanitizers(tmp_path: Path) -> None:
    sources = [SOURCES / "fs_hpack.c", SOURCES / "fs_huffman.c"]
    program = compile_c(tmp_path / "torment", *SANITIZED, HERE / "hpack_torment.c", *sources)
    done = subprocess.run(
        [program, "0.8", "7541"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 1000
