"""Work for several cores: NumPy's functions of single numbers, the exponential above all, use one."""

import functools
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_lock = threading.Lock()


def each(function: Callable[[Any], None], items: Sequence) -> None:
    """Call a function for every item, on as many threads as BLAS may use; what it raises is raised here.

    Meanwhile BLAS has one thread, or every thread would call a team of others, and wait for it. So what a call computes
    does not depend on the number of threads. A single item leaves BLAS as it is.
    """
    if len(items) > 1:
        with _lock:  # BLAS has one limit for the process: a second caller waits for the first, who uses every core
            libraries = _libraries()
            cores = min((library["num_threads"] for library in libraries.info()), default=_cores_of_process())
            if cores > 1:
                with libraries.limit(limits=1):
                    # Not so where another thread of the caller's holds a limit of its own.
                    if all(library["num_threads"] == 1 for library in libraries.info()):
                        # A pool for each call: one that stays would be without its threads in a process that is forked.
                        # Some BLAS have a limit for each thread.
                        alone = functools.partial(libraries.limit, limits=1)
                        with ThreadPoolExecutor(min(cores, len(items)), initializer=alone) as pool:
                            for _ in pool.map(function, items):
                                pass
                        return
    for item in items:
        function(item)


@functools.cache
def _libraries() -> Any:
    """The BLAS libraries of this process; to look for them takes longer than to ask them."""
    from threadpoolctl import ThreadpoolController  # when first needed, and not with the library

    return ThreadpoolController().select(user_api="blas")


def _cores_of_process() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _forked() -> None:
    global _lock
    _lock = threading.Lock()  # who held it has no thread here


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
