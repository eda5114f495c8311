"""The request heads the microbenchmarks parse."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.workloads import BY_NAME

SMALL = BY_NAME["hello"].request("127.0.0.1:8000")
BROWSER = BY_NAME["browser"].request("127.0.0.1:8000")
POST = BY_NAME["post1k"].request("127.0.0.1:8000")
REQUESTS = {"small": SMALL, "browser": BROWSER, "post": POST}
FIELDS = {"small": 1, "browser": 14, "post": 2}
BODY = 1024
