"""The tests. They run in two processes, and two with two threads each would keep each other from the two cores."""

import gc
import os

import lit_shift  # noqa: F401 - whose threads wait briefly, before torch is imported

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported; processes that are forked have no threads either
gc.disable()  # until all is imported, of which next to nothing is garbage
