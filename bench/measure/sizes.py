"""How much is measured: FULL is what docs/performance.md shows, QUICK tries the same paths in a few minutes."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Sizes:
    rounds: int       # of each comparison; medians count
    window: int       # seconds for which updates are counted
    objects: int      # of the first sync and of updates without pause
    steady: int       # objects, of which some change at a rate
    growth: tuple     # objects in one scope
    informers: tuple  # on one scope
    clusters: tuple   # in one process
    providers: tuple  # processes
    idle: int         # seconds of silence
    watchers: int     # of one scope, by the API

    def with_rounds(self, rounds):
        return dataclasses.replace(self, rounds=rounds)


FULL = Sizes(rounds=3, window=10, objects=100_000, steady=10_000, growth=(10_000, 100_000, 1_000_000), informers=(1, 10, 50),
             clusters=(1, 100, 1_000), providers=(1, 10, 50, 200), idle=240, watchers=1_000)
QUICK = Sizes(rounds=1, window=8, objects=5_000, steady=1_000, growth=(1_000, 5_000, 20_000), informers=(1, 3, 6),
              clusters=(1, 10, 100), providers=(1, 3, 6), idle=45, watchers=50)
