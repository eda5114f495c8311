"""What goes over when a program is replaced by another one."""

from __future__ import annotations

import signal
from pathlib import Path

from support.process import finished

REPLACED = """
import os, signal, sys
from fastserve.supervision.upgrade import replace_program

noted = []
for number in (signal.SIGTERM, signal.SIGTTIN):
    signal.signal(number, lambda got, _: noted.append(got))
    os.kill(os.getpid(), number)
after = "import signal, sys; print(*sorted(map(int, signal.sigpending())), file=sys.stderr)"
replace_program((sys.executable, [sys.executable, "-c", after], os.getcwd()), {}, noted)
"""

NOT_REPLACED = """
import os, signal, sys
from fastserve.errors import FastserveError
from fastserve.supervision.upgrade import replace_program

noted = []
signal.signal(signal.SIGTERM, lambda got, _: noted.append(got))
os.kill(os.getpid(), signal.SIGTERM)
try:
    replace_program(("/no/such/program", ["x"], os.getcwd()), {}, noted)
except FastserveError as error:
    print(error, noted == [signal.SIGTERM], file=sys.stderr)
"""


def test_signals_that_nobody_has_obeyed_wait_for_the_new_program(tmp_path: Path) -> None:
    status, text = finished(["-c", REPLACED], tmp_path, module="")
    assert status == 0
    assert set(map(int, text.split())) == {signal.SIGTERM, signal.SIGTTIN}


def test_signals_come_back_when_the_new_program_cannot_be_started(tmp_path: Path) -> None:
    status, text = finished(["-c", NOT_REPLACED], tmp_path, module="")
    assert status == 0
    assert text.startswith("the new program cannot be started: ")
    assert text.endswith(" True\n")
