"""The result as Markdown: one table of all, then one for each scenario."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .peers import BY_NAME as PEER
from .scenarios import BY_NAME as SCENARIO

Cell = dict[str, Any]
NONE = "\u2013"


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + ":--|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def seconds(value: float | None) -> str:
    return NONE if value is None else f"{value:.1f} s"


def fraction(value: list[int] | None) -> str:
    return NONE if not value else f"{value[0]}/{value[1]}"


def kinds(failed: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in failed.items())


def not_run(cell: Cell) -> str | None:
    if "error" in cell:
        return f"error: {cell['error']}".replace("|", "/")
    return cell.get("not_run")


def short(cell: Cell | None) -> str:
    """A cell of the table of all."""
    if cell is None:
        return ""
    if reason := not_run(cell):
        return reason
    took = cell.get("seconds")
    parts = [str(cell["said"]) + (f", {took:.1f} s" if took is not None else "")]
    for client, found in cell.get("clients", {}).items():
        failed = f"{client}: {sum(found['failed'].values()):,} of {found['requests']:,} failed"
        parts.append(failed + (f", {found['stale']:,} stale" if found["stale"] else ""))
    facts = cell.get("facts", {})
    if "readiness_false_after" in facts:
        flip = facts["readiness_false_after"]
        parts.append("no readiness" if flip is None else f"not ready after {flip:.1f} s")
    if saw := facts.get("client_saw"):
        told = ", told" if facts.get("disconnect_told") else ""
        parts.append(f"client: {saw}{told}")
    if "told_after" in facts:
        told = facts["told_after"]
        parts.append("not in the log" if told is None else f"in the log after {told:.1f} s")
    if cell.get("lifespan") and cell["lifespan"][1]:
        parts.append(f"lifespan {fraction(cell['lifespan'])}")
    if cell.get("orphans"):
        parts.append(f"{cell['orphans']} orphans")
    if cell.get("exit") is not None:
        parts.append(f"status {cell['exit']}")
    return "<br>".join(parts)


def order(cells: list[Cell], key: str, known: Iterable[str]) -> list[str]:
    return [name for name in known if any(cell[key] == name for cell in cells)]


def summary(cells: list[Cell]) -> str:
    at = {(cell["scenario"], cell["server"]): cell for cell in cells}
    servers = order(cells, "server", PEER)
    rows = [
        [SCENARIO[name].title, *(short(at.get((name, server))) for server in servers)]
        for name in order(cells, "scenario", SCENARIO)
    ]
    return table(["", *(PEER[server].label for server in servers)], rows)


def tally(cell: Cell, client: str) -> list[str]:
    found = cell.get("clients", {}).get(client)
    if found is None:
        return [NONE, NONE, NONE]
    return [f"{found['requests']:,}", kinds(found["failed"]) or "0", f"{found['stale']:,}"]


def words(value: object) -> str:
    """A fact's value as it reads."""
    if value is None or isinstance(value, bool):
        return {None: "never", True: "yes", False: "no"}[value]
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


def facts(cell: Cell) -> str:
    return "; ".join(
        f"{key.replace('_', ' ')}: {words(value)}"
        for key, value in cell.get("facts", {}).items()
        if key != "first_failures"
    )


def detail(cells: list[Cell]) -> str:
    heads = ["server", "outcome", "took", "new connections", "failed", "kept connections"]
    heads += ["failed", "stale", "lifespan", "orphans", "status", "also"]
    rows = []
    for cell in cells:
        label = PEER[cell["server"]].label
        if reason := not_run(cell):
            rows.append([label, reason, *[NONE] * (len(heads) - 2)])
            continue
        left = [NONE if cell.get(key) is None else str(cell[key]) for key in ("orphans", "exit")]
        made, kept = tally(cell, "new"), tally(cell, "kept")
        row = [label, str(cell["said"]), seconds(cell.get("seconds")), *made[:2], *kept]
        rows.append([*row, fraction(cell.get("lifespan")), *left, facts(cell)])
    return table(heads, rows)


def markdown(result: dict[str, Any]) -> str:
    cells = result["cells"]
    parts = [
        "# What nights do to a server",
        "Each cell is one run of `python benchmarks/operations.py`. What the words mean is told in "
        "[docs/operations.md](../../docs/operations.md).",
        summary(cells),
        about(result),
    ]
    for name in order(cells, "scenario", SCENARIO):
        group = [cell for cell in cells if cell["scenario"] == name]
        group.sort(key=lambda cell: list(PEER).index(cell["server"]))
        parts += [f"## {SCENARIO[name].title}", detail(group)]
    return "\n\n".join(parts) + "\n"


def about(result: dict[str, Any]) -> str:
    machine, versions = result["machine"], result["versions"]
    listed = ", ".join(f"{PEER[n].label} {v or '(not installed)'}" for n, v in versions.items())
    return (
        f"{machine['date']}; {machine['processor']}, {machine['cores']} cores; "
        f"{machine['kernel']}; {machine['python']}; {listed}."
    )
