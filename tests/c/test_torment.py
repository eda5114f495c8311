"""torment.c under AddressSanitizer and UBSan, on both builds."""

from __future__ import annotations

import subprocess

import pytest

SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")


@pytest.mark.parametrize("flags", [(), ("-DFS_NO_SIMD",)], ids=["simd", "table"])
def test_corpus_and_mutations_under_the_sanitizers(build_torment, tmp_path, flags):
    program = build_torment(tmp_path / "torment", *SANITIZED, *flags)
    done = subprocess.run(
        [program, "0.8", "20"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 1000
