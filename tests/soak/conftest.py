"""The `soak` marker, so that `-m "not soak"` leaves the long tests out."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "soak: many requests in a row, about a minute")
