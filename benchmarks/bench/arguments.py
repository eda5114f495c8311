"""What the two programs' command lines share."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from .workloads import BY_NAME as WORKLOADS


def names(known: dict[str, object]) -> Callable[[str], list[str]]:
    """An argparse type: a comma-separated list of keys of `known`, given in its order."""

    def parse(text: str) -> list[str]:
        wanted = [name.strip() for name in text.split(",") if name.strip()]
        for name in wanted:
            if name not in known:
                raise argparse.ArgumentTypeError(f"unknown {name!r}; known: {', '.join(known)}")
        return [name for name in known if name in wanted]

    return parse


def about_websocket(parser: argparse.ArgumentParser, workloads: list[str]) -> bool:
    """Whether these workloads are WebSocket's. Leaves, with the reason, if only some are."""
    kinds = {WORKLOADS[name].websocket for name in workloads}
    if len(kinds) > 1:
        parser.error("HTTP and WebSocket workloads are measured and reported apart")
    return kinds == {True}
