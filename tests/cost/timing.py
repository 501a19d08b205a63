"""Seconds of the processor."""

import gc
import time
from collections.abc import Callable


def cpu_of(work: Callable[[], object], *, rounds: int = 3) -> float:
    """Of this thread, for ``work``: the least of several rounds, since everything that disturbs a measurement
    adds to it. A function does the same a thousand times before it ends.

    What is there before, such as moto, is no function's: the collector does not go round it.
    """
    gc.collect()
    gc.freeze()
    try:
        return min(_once(work) for _ in range(rounds))
    finally:
        gc.unfreeze()


def _once(work: Callable[[], object]) -> float:
    begun = time.thread_time()
    work()
    return time.thread_time() - begun
