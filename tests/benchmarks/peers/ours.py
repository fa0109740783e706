"""A block of seeds of one of metanas's strategies: the replays of `metanas bench`, by row.

`metanas bench --json` prints figures alone; a comparison in pairs needs each seed's rows.
Prints what `peers.py` prints.
"""

from __future__ import annotations

import sys
from typing import Any

from peers import arguments, timed

from metanas.bench import Replay, references
from metanas.bench.replay import ROW, SUGGESTION_S
from metanas.core.trial import Job, Outcome, Report


def replay(of: Replay, strategy: str, seed: int) -> dict[str, Any]:
    """One seed, as the bench replays it."""
    rows: list[int] = []
    seconds = 0.0
    for event in of(Job(seed, {"strategy": strategy}, seed)):
        if isinstance(event, Report):
            rows.append(int(event.metrics[ROW]))
        elif isinstance(event, Outcome) and event.status == "completed":
            seconds = event.metrics[SUGGESTION_S]
        else:
            raise RuntimeError(event.error)
    return {"seed": seed, "rows": rows, "seconds_per_suggestion": round(seconds, 6)}


def main() -> None:
    """A block of seeds of one strategy."""
    given = arguments()
    found = references([given.name], [])
    of = Replay(str(given.table), given.target, given.measure, given.trials, found)
    seeds = [int(seed) for seed in given.seeds.split(",")]
    timed(seeds, given.limit, lambda seed: replay(of, given.name, seed))


if __name__ == "__main__":
    sys.exit(main())
