"""`python -m tests.store.protocol [SCHEDULES] [PROCESSES]`: plays that many; exit 1 if one breaks a law."""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from multiprocessing import get_context

from tests.store.protocol.schedules import play


def main(schedules: int = 40_000, processes: int = os.cpu_count() or 1) -> int:
    """Plays the schedules, on all cores unless told, and prints how many, how long, and what broke."""
    started = time.monotonic()
    with get_context("spawn").Pool(processes) as pool:
        played = pool.map(partial(play, schedules, processes), range(processes))
    violations = [law for broken, _ in played for law in broken]
    for law in violations:
        print(law)
    wall_s, cpu_s = time.monotonic() - started, sum(seconds for _, seconds in played)
    print(f"{schedules} schedules, {wall_s:.1f} s ({cpu_s:.1f} s of CPU), {len(violations)} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
