"""docs/settings.md is what tools/settings.py makes of the config."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_settings_page_is_current() -> None:
    command = [sys.executable, str(ROOT / "tools" / "settings.py"), "--check"]
    told = subprocess.run(command, capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (0, "")
