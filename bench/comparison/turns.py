"""The servers in turns, so that what else the machine does meets both."""

import sys

from bench.comparison.measure import measure
from bench.comparison.postfix_side import PostfixSide, TunedPostfixSide
from bench.comparison.proof import prove
from bench.comparison.relayd_side import RelaydSide
from bench.comparison.world import World


def take_turns(rows, runs, directory, tuned):
    """row -> server -> results of its runs; Failed at the first run that does not count. `tuned`:
    Postfix is set up to be fast."""
    sides = (RelaydSide, TunedPostfixSide if tuned else PostfixSide)
    world = World(directory / "world")
    world.start()
    try:
        results = {row: {side.name: [] for side in sides} for row in rows}
        for row in rows:
            for side in sides if row.signed or row.judged else ():
                prove(side, row, world, directory / "proof")
            for run in range(1, runs + 1):
                for side in sides:
                    one = measure(side, row, world, directory / f"{side.name}-{row.name}-{run}")
                    results[row][side.name].append(one)
                    print(f"{row.name:<16}{side.name:<9}run {run} of {runs}: "
                          f"{one.rate:8.0f} messages/s {one.cpu:8.3f} CPU s per 1,000 "
                          f"{one.memory:7.1f} MB", file=sys.stderr, flush=True)
        return results
    finally:
        world.stop()
