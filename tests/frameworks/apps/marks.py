"""The marks by which the tests and the applications, in one process, wait for each other."""

from __future__ import annotations

from support.stage import Stage

stage = Stage()
