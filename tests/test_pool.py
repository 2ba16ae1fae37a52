import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import BrokenExecutor

import pytest

from ropesim import pool
from ropesim.errors import RopesimError


class Ended(Exception):
    pass


def test_workers_have_one_thread_of_each_library_and_leave_interrupts_to_their_parent():
    with pool.processes(2) as executor:
        assert [executor.submit(os.getenv, name).result() for name in pool.THREADS] == ["1"] * 4
        assert executor.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN


def test_an_interrupt_while_workers_start_reaches_the_parent_and_not_them():
    with pytest.raises(KeyboardInterrupt):
        with pool.processes(2) as executor:
            executor.submit(os.getpid)
            pids = list(executor._processes)
            for pid in pids:
                os.kill(pid, signal.SIGINT)                # they have not had the time to start
            assert {executor.submit(os.getpid).result() for _ in range(9)} <= set(pids)
            signal.raise_signal(signal.SIGINT)
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_no_worker_starts_before_there_is_a_task_nor_before_what_comes_first():
    seen = []
    with pool.processes(2, lambda: seen.append(multiprocessing.active_children())) as executor:
        assert not seen and not multiprocessing.active_children()
        executor.submit(os.getpid)
        assert seen == [[]] and len(multiprocessing.active_children()) == 2
        executor.submit(os.getpid)
    assert seen == [[]] and not multiprocessing.active_children()


@pytest.mark.parametrize("fault", [KeyboardInterrupt, OSError])
def test_workers_are_killed_when_nobody_wants_what_they_compute(fault):
    start = time.monotonic()
    with pytest.raises(fault):
        with pool.processes(2) as executor:
            assert executor.submit(abs, -1).result() == 1
            for _ in range(5):
                executor.submit(time.sleep, 600)
            raise fault
    assert not multiprocessing.active_children() and time.monotonic() - start < 60


def test_workers_that_died_before_are_no_hindrance():
    with pytest.raises(BrokenExecutor):
        with pool.processes(2) as executor:
            executor.submit(os._exit, 1).result()


def test_a_worker_begins_with_a_watch_on_its_parent_and_ends_with_it(monkeypatch):
    class Parent:
        def join(self):
            seen.append("joined")

    def ended(code):
        seen.append(code)
        raise Ended

    seen, started = [], []
    monkeypatch.setattr(pool, "parent_process", Parent)
    monkeypatch.setattr(os, "_exit", ended)
    with pytest.raises(Ended):
        pool._watch()
    assert seen == ["joined", 1]
    monkeypatch.setattr(pool, "parent_process", lambda: None)
    pool._watch()
    assert len(seen) == 2
    for name in pool.THREADS:
        monkeypatch.setenv(name, "7")
    monkeypatch.setattr(signal, "signal", lambda *given: started.append(given))
    monkeypatch.setattr(threading.Thread, "start", lambda self: started.append(self.daemon))
    pool._begin()
    assert started == [(signal.SIGINT, signal.SIG_IGN), True] and {os.environ[name] for name in pool.THREADS} == {"1"}


def test_workers_of_a_cluster_that_die_over_a_chunk_are_a_fault_of_the_environment():
    from distributed import LocalCluster
    from distributed.scheduler import KilledWorker
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, protocol="tcp",
                      dashboard_address=":0") as local:
        with pytest.raises(OSError, match="workers died over one chunk"):
            with pool.cluster(local.scheduler_address) as (executor, threads):
                assert threads == 1 and executor.submit(abs, -1).result() == 1
                raise KilledWorker("chunk", None, 3)


@pytest.mark.parametrize("url", ["nonsense", "tcp://host", "foo://host:1", "tcp://host:port", "", "localhost:8786"])
def test_an_address_that_is_none_is_refused_at_once(url):
    start = time.monotonic()
    with pytest.raises(RopesimError, match="--scheduler = .*: give its address, tcp://host:8786"):
        with pool.cluster(url):
            pass
    assert time.monotonic() - start < 5
