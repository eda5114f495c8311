"""What a scenario found for one server."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from .client import Record, Tally
from .running import Running, alive


@dataclass
class Outcome:
    """`said` is the finding in few words; None or nothing in the others: not asked here.

    `lifespan` is (shutdowns run, workers ended that could have run one).
    """

    said: str
    good: bool | None = None  # whether the service did what the scenario asks for
    seconds: float | None = None
    clients: dict[str, Tally] = field(default_factory=dict)
    lifespan: tuple[int, int] | None = None
    orphans: int | None = None
    exit: int | None = None
    facts: dict[str, object] = field(default_factory=dict)

    def count(self, records: list[Record], since: float) -> None:
        """Take in the load's records; a few failures are kept with their time for the curious."""
        for client in ("new", "kept"):
            self.clients[client] = Tally.of(r for r in records if r.client == client)
        bad = [r for r in records if r.outcome != "ok"]
        when = [f"{r.begun - since:+.2f} s {r.client} {r.outcome}" for r in bad[:20]]
        if when:
            self.facts["first_failures"] = when

    def shutdowns(self, server: Running, pids: set[int]) -> None:
        """Count those of `pids` that have ended, and in how many the lifespan's shutdown ran."""
        if not server.peer.lifespan:
            return
        ended = {pid for pid in pids if not alive(pid)}
        self.lifespan = (len(ended & server.stopped), len(ended))

    def as_dict(self) -> dict[str, object]:
        return {key: value for key, value in asdict(self).items() if value not in (None, {})}
