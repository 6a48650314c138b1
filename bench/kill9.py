"""What is left when the gate is killed with -9 at seeded moments of the fault window?

    python bench/kill9.py [--moments 5] [--seed 1] [--time-scale 30]

After each kill the lease has to end, every service has to be healthy, and
`gameday recover` has to find nothing. Exits with 1 where one of them fails.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests/e2e"))

from program import Gameday, gameday_in_new_state, until

# The fault window of the shortest experiment is longer than this.
_WINDOW_SECONDS = 4.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--time-scale", type=float, default=30)
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    failed = 0
    with gameday_in_new_state() as gameday:
        gameday.run("up", "--wire", "all", "--time-scale", str(arguments.time_scale))
        for number in range(1, arguments.moments + 1):
            moment = moments.uniform(0, _WINDOW_SECONDS)
            try:
                told = _kill_at(gameday, moment)
            except AssertionError as error:
                failed += 1
                told = f"FAILED: {error}"
            print(f"{number}/{arguments.moments} killed {moment:.2f} s into the fault window: {told}", flush=True)
    return int(failed > 0)


def _kill_at(gameday: Gameday, moment: float) -> str:
    with gameday.running("gate", "experiments") as gate:
        until(gameday.in_force, 60, "a fault is in force")
        time.sleep(moment)
        broken = bool(gameday.in_force())
        os.kill(gate.pid, signal.SIGKILL)
        killed = time.monotonic()
        gate.wait()
        until(lambda: not gameday.in_force(), 15, "the lease ended with its owner")
        until(gameday.healthy, 30, "all services are healthy")
    took = time.monotonic() - killed
    said = gameday.run("recover").out.strip()
    assert "nothing" in said, said
    when = "in force" if broken else "already undone"
    return f"the fault was {when}; all healthy {took:.1f} s after the kill; recover says: {said}"


if __name__ == "__main__":
    sys.exit(main())
