"""Worker processes of our own, and a client of somebody's cluster. Light on purpose: a worker imports this first."""

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import Any

from .errors import RopesimError

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@contextmanager
def processes(count: int) -> Iterator[Executor]:
    """A pool of spawned processes, one BLAS and one Numba thread each, that end when their parent does.

    >>> with processes(1) as pool:
    ...     pool.submit(os.getenv, "OPENBLAS_NUM_THREADS").result()
    '1'
    """
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_begin)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:                                # all start now, deaf to an interrupt that comes before they can ignore it
        for _ in range(count):
            pool.submit(os.getpid)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """One thread each; an interrupt is the parent's business; a worker whose parent has died ends too."""
    for name in THREADS:
        os.environ[name] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def cluster(url: str) -> Iterator[tuple[Executor, int]]:
    """The executor of a Dask cluster at `url`, and the number of its threads.

    Raises RopesimError where dask.distributed is not installed, OSError where nothing answers.

    >>> with cluster("nonsense"):
    ...     pass
    Traceback (most recent call last):
    ropesim.errors.RopesimError: --scheduler = 'nonsense': give its address, tcp://host:8786
    """
    try:
        from distributed import Client
        from distributed.comm.addressing import get_address_host_port
    except ImportError:
        raise RopesimError("--scheduler", url, "install dask.distributed first: pip install "
                                               "'rope-attention-sim[distributed]'") from None
    try:
        get_address_host_port(url, strict=True)
    except ValueError:
        raise RopesimError("--scheduler", url, "give its address, tcp://host:8786") from None
    with Client(url, timeout="10s", set_as_default=False) as client:
        yield client.get_executor(pure=False), max(1, sum(_threads(client).values()))


def _threads(client: Any) -> dict[str, int]:
    return dict(client.nthreads())
