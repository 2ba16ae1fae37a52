"""Worker processes of our own, and a client of somebody's cluster. Light on purpose: a worker imports this first."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import Any

from .errors import RopesimError

NOISY = ("distributed.client", "tornado.application", "asyncio")      # loggers that print a lost connection's traceback
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class Workers(ProcessPoolExecutor):
    """Spawned processes that all start with the first task, after `first` has been called."""

    def __init__(self, count: int, first: Callable[[], None]) -> None:
        super().__init__(count, mp_context=get_context("spawn"), initializer=_begin)
        self.count, self.first, self.started = count, first, False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As of every executor.

        >>> with Workers(1, lambda: print("first")) as workers:
        ...     workers.submit(abs, -1).result(), workers.submit(abs, -2).result()
        first
        (1, 2)
        """
        if not self.started:
            self.first()
            before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
            try:                               # deaf to an interrupt that comes before they can ignore it
                for _ in range(self.count):
                    super().submit(os.getpid)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            self.started = True
        return super().submit(fn, *args, **kwargs)

    def kill(self) -> None:
        """End all processes at once, whatever they are computing."""
        for process in list((self._processes or {}).values()):        # Python 3.14 has kill_workers
            process.kill()


@contextmanager
def processes(count: int, first: Callable[[], None] = lambda: None) -> Iterator[Executor]:
    """A pool of spawned processes, one BLAS and one Numba thread each, that end when their parent does.

    None starts before there is a task, and `first` is called before they do. They are killed when the body raises.

    >>> with processes(1) as pool:
    ...     pool.submit(os.getenv, "OPENBLAS_NUM_THREADS").result()
    '1'
    """
    pool = Workers(count, first)
    try:
        yield pool
    except BaseException:              # nobody waits for what they compute
        pool.kill()
        raise
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

    Raises RopesimError where dask.distributed is not installed, OSError where nothing answers or a chunk has killed
    its workers.

    >>> with cluster("nonsense"):
    ...     pass
    Traceback (most recent call last):
    ropesim.errors.RopesimError: --scheduler = 'nonsense': give its address, tcp://host:8786
    """
    try:
        from distributed import Client
        from distributed.comm.addressing import get_address_host_port
        from distributed.scheduler import KilledWorker
    except ImportError:
        raise RopesimError("--scheduler", url, "install dask.distributed first: pip install "
                                               "'rope-attention-sim[distributed]'") from None
    try:
        get_address_host_port(url, strict=True)
    except ValueError:
        raise RopesimError("--scheduler", url, "give its address, tcp://host:8786") from None
    for name in NOISY:                             # a lost scheduler is one line of ours
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with Client(url, timeout="10s", set_as_default=False) as client:
        try:
            yield client.get_executor(pure=False), max(1, sum(_threads(client).values()))
        except KilledWorker as error:
            raise OSError("workers died over one chunk again and again") from error


def _threads(client: Any) -> dict[str, int]:
    return dict(client.nthreads())
