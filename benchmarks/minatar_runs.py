"""Train what the studies need at scale ``minatar``, game after game; stop and go on at any time.

    python benchmarks/minatar_runs.py [--steps 100000] [--seeds 5] [--games Breakout,...]
                                 [--learners DQN,...]

Finished runs are kept in the cache folder, where `meritree study NAME --scale minatar` finds them;
that command alone trains what is missing, but study after study.
"""

from __future__ import annotations

import argparse
import os
import time

from meritree.studies.rl import minatar
from meritree.studies.runner import _share_compiled_code


def main() -> None:
    """Train, telling each run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--games", default=",".join(minatar.GAMES))
    parser.add_argument("--learners", default=";".join(minatar.LEARNERS), help="separated by ;")
    given = parser.parse_args()
    _share_compiled_code()
    for game in given.games.split(","):
        for name in given.learners.split(";"):
            for seed in range(given.seeds):
                before = time.process_time()
                one = minatar.trained(name, game, given.steps, seed)
                print(
                    f"{time.strftime('%H:%M:%S')} {game}, {name}, seed {seed}: "
                    f"{one.cpu_s:.1f} CPU s ({time.process_time() - before:.1f} with reading), "
                    f"returns {' '.join(f'{value:.2g}' for value in one.returns[::4])}, "
                    f"load {os.getloadavg()[0]:.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
