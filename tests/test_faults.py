"""Sweeps that are killed, interrupted, starved and run in several ways. ROPESIM_FAULTS=full: the full counts."""

import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray
from distributed import Client

from ropesim import pool, store

FULL = os.environ.get("ROPESIM_FAULTS") == "full"
KILLS = 25 if FULL else 1       # in each way
ROOT = Path(__file__).parent.parent
SPEC = """
[rope]
kind = "custom"
theta = [1.0, 0.1]
[head]
kind = "slash"
[run]
length = 2048
lags = [0, 3, 5]
[sweep]
"head.strength" = { linspace = [0.0, 2.0, 16] }
"head.lag" = [1, 2, 3, 4, 5, 6, 7, 9999]
"""
RANDOM = {"rope": {"kind": "custom", "theta": [1.0, 0.1]},
          "head": {"kind": "slash", "lag": 3, "strength": 2.0},
          "run": {"length": 32, "samples": 2, "quantities": ["slash", "sink"]},
          "sweep": {"head.noise": [0.0, 0.2], "run.replicate": [0, 1, 2, 3]}}
CLUSTER = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""
pytestmark = pytest.mark.compiled
ENV = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


def command(line, folder):
    """A command in a process group of its own."""
    return subprocess.Popen([sys.executable, "-m", "ropesim.cli", *line.split()], cwd=folder, env=ENV, text=True,
                            start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended(process, limit=60):
    """Exit code, stdout and stderr of a command."""
    out, err = process.communicate(timeout=limit)
    return process.returncode, out, err


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def done(path):
    """Chunks that are done, by file, with what tells a file from one that was written again."""
    return {file.name: (file.stat().st_ino, file.stat().st_mtime_ns) for file in path.glob("done/[0-9]*")
            if file.suffix != ".partial"}


def wait_for(condition, limit=30.0):
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)


def children(pid):
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The store of SPEC, never interrupted, beside its spec."""
    folder = tmp_path_factory.mktemp("reference")
    (folder / "spec.toml").write_text(SPEC)
    process = command("run spec.toml --out a.zarr", folder)
    assert ended(process)[0] == 0
    return folder / "a.zarr"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "spec.toml").write_text(SPEC)
    return tmp_path


def cluster(**settings):
    """A process with a Dask scheduler and two worker processes of one thread each, and its address."""
    process = subprocess.Popen([sys.executable, "-c", CLUSTER], env=ENV | settings, text=True, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return process, process.stdout.readline().strip()


@pytest.fixture(scope="module")
def scheduler():
    """The address of a Dask cluster that stays."""
    process, address = cluster()
    yield address
    process.communicate(timeout=30)


def pids(address):
    """The processes of a cluster's workers."""
    with Client(address, set_as_default=False) as client:
        return list(client.run(os.getpid).values())


# Killed

def test_a_sweep_that_is_killed_again_and_again_ends_as_if_it_never_had_been(reference, folder, scheduler):
    draw, path, seen = random.Random(5), folder / "a.zarr", {}
    ways = ["", " --workers 2", f" --scheduler {scheduler}"]
    for n in range(3 * KILLS):
        if FULL and len(seen) > 5:                          # eight chunks are soon done: begin again
            shutil.rmtree(path)
            seen = {}
        process = command(f"run spec.toml --quiet --out a.zarr{ways[n % 3]}", folder)
        if n % 4 == 3:
            time.sleep(draw.uniform(0, 2))                  # while it begins
        else:
            more = len(seen) + draw.randrange(3)
            wait_for(lambda: len(done(path)) >= more and path.exists() or process.poll() is not None)
            time.sleep(draw.uniform(0, 0.1))
        started = children(process.pid)
        process.kill()
        process.communicate()
        wait_for(lambda: not any(alive(child) for child in started), 2)
        assert seen.items() <= done(path).items(), "a chunk was computed again"
        seen = done(path)
    assert ended(command("run spec.toml --quiet --out a.zarr --workers 2", folder))[0] == 0
    assert seen.items() <= done(path).items() and files(path) == files(reference)
    assert sorted(file.name for file in folder.iterdir()) == ["a.zarr", "spec.toml"]


def test_workers_end_when_their_parent_is_killed_while_they_compute(folder):
    text = SPEC.replace("2048", "30000").replace("16]", "2]")              # seconds a point
    (folder / "spec.toml").write_text(text)
    process = command("run spec.toml --out a.zarr --workers 2", folder)
    wait_for(lambda: len(children(process.pid)) >= 3 and (folder / "a.zarr").exists())        # two and a tracker
    time.sleep(1.5)
    started = children(process.pid)
    assert all(alive(child) for child in started)
    process.kill()
    process.communicate()
    wait_for(lambda: not any(alive(child) for child in started), 2)


def test_a_worker_that_is_killed_ends_the_sweep_with_one_line_and_it_resumes(reference, folder):
    draw, path, hits = random.Random(6), folder / "a.zarr", 0
    while hits < KILLS:
        if len(done(path)) > 4:
            shutil.rmtree(path)
        seen = done(path)
        process = command("run spec.toml --quiet --out a.zarr --workers 2", folder)
        wait_for(lambda: len(done(path)) > len(seen))
        time.sleep(draw.uniform(0, 0.05))
        os.kill(max(children(process.pid)), signal.SIGKILL)
        code, out, err = ended(process)
        assert seen.items() <= done(path).items()
        if code != 0 or len(done(path)) < 8:                # else the kill came too late
            assert (code, out, err.count("\n")) == (3, "", 1) and "lost the workers" in err, err
            hits += 1
    assert ended(command("run spec.toml --quiet --out a.zarr", folder))[0] == 0
    assert files(path) == files(reference)


def test_a_sweep_goes_on_when_workers_of_its_cluster_are_killed(reference, folder):
    draw, path, hits = random.Random(7), folder / "a.zarr", 0
    while hits < KILLS:
        process, address = cluster()
        before = pids(address)
        run = command(f"run spec.toml --quiet --out a.zarr --scheduler {address}", folder)
        wait_for(lambda: len(done(path)) > hits % 4)
        time.sleep(draw.uniform(0, 0.05))
        os.kill(draw.choice(before), signal.SIGKILL)
        hits += run.poll() is None                          # else it came too late
        code, out, err = ended(run)
        process.kill()
        process.communicate()
        assert (code, out, err.count("\n")) == (0, "", 1) and files(path) == files(reference), err
        shutil.rmtree(path)


def test_a_chunk_that_kills_its_workers_ends_the_sweep_and_it_resumes(reference, folder):
    process, address = cluster(DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0")
    run = command(f"run spec.toml --quiet --out a.zarr --scheduler {address}", folder)
    before = pids(address)
    wait_for(lambda: len(done(folder / "a.zarr")) >= 1)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    code, out, err = ended(run)
    process.communicate(timeout=30)
    assert (code, out, err.count("\n")) == (3, "", 1) and "again and again" in err
    assert ended(command("run spec.toml --quiet --out a.zarr", folder))[0] == 0
    assert files(folder / "a.zarr") == files(reference)


def test_a_scheduler_that_is_killed_ends_the_sweep_with_one_line_and_it_resumes(reference, folder):
    path = folder / "a.zarr"
    for _ in range(3 if FULL else 1):
        seen = done(path)
        process, address = cluster()
        run = command(f"run spec.toml --quiet --out a.zarr --scheduler {address}", folder)
        wait_for(lambda: len(done(path)) > len(seen))
        started = pids(address)
        process.kill()
        process.communicate()
        code, out, err = ended(run)
        assert (code, out, err.count("\n")) == (3, "", 1) and "lost the workers or their scheduler" in err, err
        wait_for(lambda: not any(alive(pid) for pid in started))
    seen = done(path)
    assert ended(command("run spec.toml --quiet --out a.zarr", folder))[0] == 0
    assert seen.items() <= done(path).items() and files(path) == files(reference)


# Interrupted

@pytest.mark.parametrize("workers, chunks", [(1, 2), (2, 2), (2, 0)] if FULL else [(1, 2), (2, 0)])
def test_an_interrupt_finishes_what_is_in_flight_exits_130_and_resumes(reference, folder, workers, chunks):
    path = folder / "a.zarr"
    process = command(f"run spec.toml --quiet --out a.zarr --workers {workers}", folder)
    if chunks:
        wait_for(lambda: len(done(path)) >= chunks)
    else:
        wait_for(lambda: len(children(process.pid)) >= 3)            # workers that have only begun
    os.killpg(process.pid, signal.SIGINT)
    code, out, err = ended(process)
    assert (code, out, err.strip()) == (130, "", "ropesim: interrupted")
    seen = done(path)
    assert len(seen) < 8 and files(reference).items() >= {
        name: content for name, content in files(path).items() if path.exists()}.items()
    assert ended(command("run spec.toml --quiet --out a.zarr", folder))[0] == 0
    assert seen.items() <= done(path).items() and files(path) == files(reference)


@pytest.mark.parametrize("chunks", [0, 1] if FULL else [0])
def test_a_second_interrupt_waits_for_nothing_and_the_sweep_resumes(folder, chunks):
    text = SPEC.replace("2048", "30000").replace("16]", "2]").replace("3, 4, 5, 6, 7, ", "")      # seconds a point
    (folder / "spec.toml").write_text(text)
    process = command("run spec.toml --quiet --out a.zarr --workers 2", folder)
    wait_for(lambda: len(children(process.pid)) >= 3 and len(done(folder / "a.zarr")) >= chunks)
    time.sleep(1.5)
    started = children(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None and all(alive(child) for child in started)     # the first is patient
    os.killpg(process.pid, signal.SIGINT)
    start = time.monotonic()
    code, out, err = ended(process)
    assert (code, out, err.strip()) == (130, "", "ropesim: interrupted") and time.monotonic() - start < 5
    wait_for(lambda: not any(alive(child) for child in started), 2)
    assert ended(command("run spec.toml --quiet --out a.zarr --workers 2", folder))[0] == 0


# A full disk

DISK = """
mount -t tmpfs -o size={size}k tmpfs "$1" || exit 77
cd "$1" && cp ../spec.toml . && dd if=/dev/zero of=ballast bs=1k count={ballast} 2> /dev/null
"$2" -m ropesim.cli run spec.toml --quiet --out a.zarr; echo $? > ../code
find . -name '*.partial' > ../left
rm ballast
"$2" -m ropesim.cli run spec.toml --quiet --out a.zarr && cp -r a.zarr ..
"""


@pytest.mark.parametrize("ballast", [0.75, 0.5, 0.3] if FULL else [0.5])
def test_a_full_disk_exits_3_with_one_line_and_the_sweep_resumes_when_there_is_space(reference, folder, ballast):
    size = sum(4 * -(-len(content) // 4096) for content in files(reference).values()) + 64
    script = DISK.format(size=size, ballast=int(size * ballast))
    (folder / "disk").mkdir()
    found = subprocess.run(["unshare", "-rm", "sh", "-c", script, "sh", folder / "disk", sys.executable], env=ENV,
                           capture_output=True, text=True)
    if found.returncode == 77 or not (folder / "code").exists():
        pytest.skip("no file system can be mounted here")       # test_store.py fills the disk by hand
    assert (folder / "code").read_text() == "3\n" and (folder / "left").read_text() == ""
    lines = found.stderr.splitlines()
    assert "No space left" in lines[0] and len([line for line in lines if "points failed" not in line]) == 1
    assert files(folder / "a.zarr") == files(reference)


# The same numbers however it is run

def test_the_same_numbers_come_out_however_a_sweep_is_run(tmp_path, scheduler):
    paths = {}

    def compute(name, chunk, executor=None, ahead=4):
        path = paths[name, chunk] = tmp_path / f"{name}-{chunk}.zarr"
        store.run(RANDOM, tmp_path, path, executor=executor, ahead=ahead, chunk=chunk)

    for chunk in (1, 7, 64):
        compute("here", chunk)
    for workers in (1, 2, 3):
        with pool.processes(workers) as executor:
            for chunk in (1, 7, 64) if FULL else (1, 7, 64)[workers - 1:workers]:
                compute(f"pool{workers}", chunk, executor, 2 * workers)
    with pool.cluster(scheduler) as (executor, threads):
        assert threads == 2
        for chunk in (1, 7, 64) if FULL else (1,):
            compute("dask", chunk, executor, 2 * threads)
    for (_, chunk), path in paths.items():
        assert files(path) == files(paths["here", chunk])
        with xarray.open_zarr(path) as found, xarray.open_zarr(paths["here", 1]) as expected:
            assert all(found[name].values.tobytes() == expected[name].values.tobytes() for name in found.data_vars
                       if found[name].dtype == np.float64)
            assert (found.message == "").all()


def test_the_command_on_a_cluster_writes_the_same_store(reference, folder, scheduler):
    code, out, err = ended(command(f"run spec.toml --quiet --out a.zarr --scheduler {scheduler}", folder))
    assert (code, out, err) == (0, "", "ropesim: 16 of 128 points failed; see `message` in the store\n")
    assert files(folder / "a.zarr") == files(reference)


def test_without_a_scheduler_to_answer_the_command_exits_3_with_one_line(folder):
    start = time.monotonic()
    code, out, err = ended(command("run spec.toml --out a.zarr --scheduler tcp://127.0.0.1:9", folder))
    assert (code, out, err.count("\n")) == (3, "", 1) and "tcp://127.0.0.1:9" in err
    assert time.monotonic() - start < 20 and [file.name for file in folder.iterdir()] == ["spec.toml"]


def test_the_libraries_print_nothing_of_a_lost_connection(scheduler):
    with pool.cluster(scheduler):
        assert not any(logging.getLogger(name).isEnabledFor(logging.ERROR) for name in pool.NOISY)


# Two at once

def test_the_second_of_two_processes_that_write_a_store_refuses_and_the_first_finishes(reference, folder):
    first = command("run spec.toml --quiet --out a.zarr", folder)
    wait_for(lambda: (folder / "a.zarr").exists())
    first.send_signal(signal.SIGSTOP)
    for option in ("", " --overwrite"):
        code, out, err = ended(command(f"run spec.toml --out a.zarr{option}", folder))
        assert (code, out, err.count("\n")) == (2, "", 1) and "another process" in err
    first.send_signal(signal.SIGCONT)
    assert ended(first)[0] == 0 and files(folder / "a.zarr") == files(reference)
    assert sorted(file.name for file in folder.iterdir()) == ["a.zarr", "spec.toml"]


# Plans

def test_explain_says_what_it_would_take_and_computes_nothing(folder):
    code, out, err = ended(command("run spec.toml --explain --json", folder))
    plan = json.loads(out)["plan"]
    assert (code, err, plan["points"], plan["chunks"], plan["points_per_chunk"]) == (0, "", 128, 8, 16)
    assert plan["bytes"] == 8 * plan["bytes_per_chunk"] == 128 * 8 * 4 * (3 + 3) and plan["seconds"] > 0
    code, out, err = ended(command("run spec.toml --explain", folder))
    assert (code, err) == (0, "") and "128 points (head.strength 16 x head.lag 8) in 8 chunks of up to 16" in out
    assert " kB in the store" in out and " s in all on one core" in out
    assert [file.name for file in folder.iterdir()] == ["spec.toml"]
