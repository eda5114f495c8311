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


def subject_of(parser: argparse.ArgumentParser, workloads: list[str], *together: str) -> str:
    """The subject of all these workloads. Leaves, with the reason, if there are several.

    Those of `together` count as the first of them.
    """
    found = {WORKLOADS[name].subject for name in workloads}
    if found <= set(together):
        return together[0]
    if len(found) > 1:
        parser.error(f"{', '.join(sorted(found))} are measured and reported apart")
    return found.pop()
