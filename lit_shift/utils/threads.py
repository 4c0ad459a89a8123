"""Waiting behaviour of OpenMP threads. Needs no torch and must run before it is imported."""

import os

# Spins before a waiting thread goes to sleep. libgomp's default of 300,000 lasts milliseconds.
SPINS = 3000


def wait_briefly() -> None:
    """Make waiting threads give up their cores after microseconds, unless the user has configured how they wait.

    When other work competes for the cores, a thread may spin while the thread it waits for has no core: training steps
    of a slim VGG13 on two cores, beside a dozen other processes, took 5.5 times as long (quartiles 4.9 and 6.2). When
    training has priority, 3,000 spins are as fast as 300,000 (0.95 to 1.15 times; whole epochs on an idle machine 1.05
    and 0.91 times). The setting applies if torch is not loaded yet, and to child processes.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = str(SPINS)
