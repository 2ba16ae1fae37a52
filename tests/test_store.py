import errno
import fcntl
import itertools
import json
import math
import os
import shutil
import signal
import warnings
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import xarray
from hypothesis import HealthCheck, given, settings, strategies as st

from ropesim import __version__, chunks, store as module, sweep
from ropesim.case import build
from ropesim.datasets import dataset, one
from ropesim.errors import RopesimError
from ropesim.grid import grid
from ropesim.point import measure
from ropesim.spec import parse
from ropesim.store import Counts, run, save
from ropesim.sweep import layout

HERE = Path(".")


def tables(swept=None, **run):
    base = {"rope": {"kind": "custom", "theta": [1.0, 0.1]}, "head": {"kind": "slash", "lag": 3, "strength": 2.0},
            "run": {"length": 8, **run}}
    return base | ({"sweep": swept} if swept else {})


def point(**changes):
    spec = tables()
    for field, value in changes.items():
        table, name = field.split("__")
        spec[table][name] = value
    return measure(build(parse(spec), HERE))


def opened(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with xarray.open_zarr(path) as store:
            return store.load()


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
            for path in sorted(folder.rglob("*"))}


# Datasets, saved

@pytest.fixture
def result():
    swept = {"head.lag": [1, 9, 2], "run.length": [4, 8]}
    return dataset(tables(swept, quantities=["slash", "sink", "received"]), HERE)


def test_a_store_opens_with_xarray_without_warnings_and_is_what_was_saved(result, tmp_path):
    save(result, tmp_path / "a.zarr")
    store = opened(tmp_path / "a.zarr")
    xarray.testing.assert_identical(store, result)
    assert (store.done.dtype, store.slash_predicted.dtype) == (np.uint8, np.float64)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_a_result_without_any_dim_can_be_saved(tmp_path):
    save(one(point(run__quantities=["sink"]), tables()), tmp_path / "a.zarr")
    assert math.isfinite(opened(tmp_path / "a.zarr").sink_predicted)


def test_saving_replaces_an_older_store_whole(result, tmp_path):
    save(dataset(tables(quantities=["entropy"]), HERE), tmp_path / "a.zarr")
    save(result, tmp_path / "a.zarr")
    assert "entropy_predicted" not in opened(tmp_path / "a.zarr")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_save_leaves_the_old_store_whole_and_nothing_else(result, tmp_path, monkeypatch, fault):
    save(result, tmp_path / "a.zarr")
    written = type(result).to_zarr

    def half_way(self, path, **options):
        written(self[["done"]], path, **options)
        raise fault

    monkeypatch.setattr(type(result), "to_zarr", half_way)
    with pytest.raises(type(fault)):
        save(dataset(tables(), HERE), tmp_path / "a.zarr")
    xarray.testing.assert_identical(opened(tmp_path / "a.zarr"), result)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_a_store_whose_last_rename_fails_is_put_back(result, tmp_path, monkeypatch):
    save(result, tmp_path / "a.zarr")
    rename = Path.rename

    def fails_on_the_new_one(self, target):
        if self.name == "new":
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails_on_the_new_one)
    with pytest.raises(OSError):
        save(dataset(tables(), HERE), tmp_path / "a.zarr")
    xarray.testing.assert_identical(opened(tmp_path / "a.zarr"), result)


def test_a_file_is_not_replaced_by_a_store(result, tmp_path):
    (tmp_path / "a.zarr").write_text("mine")
    with pytest.raises(RopesimError, match="store = .*this is a file"):
        save(result, tmp_path / "a.zarr")
    assert (tmp_path / "a.zarr").read_text() == "mine"


# Sweeps into a store

SWEPT = {"head.lag": [1, 99, 2], "head.strength": [0.0, 0.5, 1.0, 2.0]}
SPEC = tables(SWEPT, quantities=["slash", "sink", "received"])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.zarr"


@pytest.fixture
def whole(path):
    """A store of SPEC with six chunks."""
    run(SPEC, HERE, path, chunk=2)
    return path


def first(n):
    """Progress that ends the sweep after n chunks."""
    def limited(work):
        for i in work:
            if i == n:
                raise KeyboardInterrupt
            yield i
    return limited


def refused(path, *words, spec=SPEC, **options):
    """Whether a run raises one line with these words and changes nothing."""
    before = tree(path.parent)
    with pytest.raises(RopesimError) as error:
        run(spec, HERE, path, **options)
    assert tree(path.parent) == before
    assert not [word for word in words if word not in str(error.value)], str(error.value)
    assert "\n" not in str(error.value) and str(error.value).startswith("store = ")


@pytest.mark.parametrize("spec", [SPEC, tables({"run.length": [4, 8], "head.noise": [0.0, 0.2]}), tables(),
                                  tables({"head.lag": [1]}, quantities=["sink"])], ids=["2-D", "lengths", "0-D", "1"])
@pytest.mark.parametrize("chunk", [None, 1, 3, 64])
def test_a_store_holds_what_a_dataset_holds_in_any_chunks(path, spec, chunk):
    counts = run(spec, HERE, path, chunk=chunk)
    expected = dataset(spec, HERE)
    failed = int((expected.message != "").sum())
    assert counts == Counts(expected.done.size, expected.done.size, failed)
    found = opened(path)
    assert (found.done == 1).all() and found.attrs.pop("layout") == expected.attrs.pop("layout")
    xarray.testing.assert_identical(found, expected)
    assert [path.name for path in path.parent.iterdir()] == ["a.zarr"]


def test_a_store_opens_with_dims_coordinates_types_and_attributes(path):
    swept = {"rope.preset": ["llama-3-8b", "qwen2.5-7b"], "head.strength": {"values": [0.0, 1.0, 2.0], "dim": "case"},
             "head.lag": {"values": [1, 2, 99], "dim": "case"}}
    spec = {name: table for name, table in tables(swept, seed=7).items() if name != "rope"}
    run(spec, HERE, path)
    found = opened(path)
    assert dict(found.sizes) == {"rope.preset": 2, "case": 3, "lag": 8}
    assert {name: (found[name].dims, found[name].values.tolist()) for name in found.coords} == {
        "rope.preset": (("rope.preset",), ["llama-3-8b", "qwen2.5-7b"]), "lag": (("lag",), [*range(8)]),
        "head.strength": (("case",), [0.0, 1.0, 2.0]), "head.lag": (("case",), [1, 2, 99])}
    assert found.sel({"rope.preset": "qwen2.5-7b"}).sizes == {"case": 3, "lag": 8}
    assert (found.done.dtype, found.sink_error.dtype, found["head.lag"].dtype) == (np.uint8, np.float64, np.int64)
    assert found.message.values[:, :2].tolist() == [["", ""]] * 2 and "head.lag = 99" in str(found.message.values[1, 2])
    assert json.loads(found.attrs["spec"]) == spec and (found.attrs["seed"], found.attrs["layout"]) == (7, 1)
    assert {"spec_hash", "version", "platform"} <= set(found.attrs)


@pytest.mark.parametrize("done", range(7))
def test_the_same_call_computes_what_is_missing_and_nothing_else(whole, tmp_path, done):
    path = tmp_path / "b.zarr"
    if done < 6:
        with pytest.raises(KeyboardInterrupt):
            run(SPEC, HERE, path, chunk=2, progress=first(done))
    else:
        run(SPEC, HERE, path, chunk=2)
    before = {file: file.stat().st_ino for file in path.rglob("*") if file.is_file()}
    assert opened(path).done.values.sum() == 2 * done
    assert run(SPEC, HERE, path) == Counts(12, 12 - 2 * done, 4)
    assert tree(path) == tree(whole)
    assert all(file.stat().st_ino == inode for file, inode in before.items())


def test_progress_counts_the_chunks_that_are_missing(path):
    seen = []

    def counted(work):
        for n in work:
            seen.append((n, len(work)))
            yield n
            if n == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(SPEC, HERE, path, chunk=2, progress=counted)
    assert seen == [(n, 6) for n in range(4)]
    run(SPEC, HERE, path, progress=lambda work: seen.append(len(work)) or work)
    assert seen[-1] == 2


def test_an_enlarged_axis_is_another_store_with_the_same_values(whole, tmp_path):
    larger = tables({"head.lag": [1, 99, 2, 0], "head.strength": [0.0, 0.25, 0.5, 1.0, 2.0]}, **SPEC["run"])
    refused(whole, "holds something else", "--overwrite", spec=larger)
    run(larger, HERE, tmp_path / "b.zarr")
    small, large = opened(whole), opened(tmp_path / "b.zarr")
    xarray.testing.assert_identical(small.drop_attrs(), large.sel({name: small[name] for name in SWEPT}).drop_attrs())


def test_the_order_of_the_axes_is_part_of_the_sweep(whole):
    refused(whole, spec=tables(dict(reversed(SWEPT.items())), **SPEC["run"]))


def test_values_that_are_all_nan_are_written_too(path):
    run(tables({"head.lag": [1, 99]}), HERE, path, chunk=1)
    assert (path / "slash_predicted" / "1.0").exists() and (path / "message" / "0").exists()


def test_a_sweep_whose_points_all_fail_writes_nothing(tmp_path, path):
    with pytest.raises(RopesimError, match="head.lag = 9: "):
        run(tables({"head.lag": [9, 10]}), HERE, path)
    assert list(tmp_path.iterdir()) == []


# Damage

CHUNK = "slash_predicted/0.0.0"


def flip(file, at=None):
    content = bytearray(file.read_bytes())
    content[len(content) // 2 if at is None else at] ^= 0xff
    file.write_bytes(content)


def cut(file):
    file.write_bytes(file.read_bytes()[:-9])


def empty(file):
    file.write_bytes(b"")


@pytest.mark.parametrize("fault", [flip, cut, empty, Path.unlink])
@pytest.mark.parametrize("name", [CHUNK, "sink_stderr/2.1", "message/0.0", "received_error/0.1.0"])
def test_a_damaged_chunk_is_named_and_nothing_is_changed(whole, fault, name):
    fault(whole / name)
    refused(whole, name.split("/")[0], "damaged at [", "--overwrite", str(whole))
    run(SPEC, HERE, whole, overwrite=True, chunk=2)
    assert run(SPEC, HERE, whole) == Counts(12, 0, 4)


def test_a_damaged_chunk_is_computed_again_when_it_is_removed_as_the_message_says(whole):
    before = tree(whole)
    flip(whole / CHUNK)
    refused(whole, "remove that chunk of slash_predicted and of done", "[0:1, 0:2]")
    (whole / CHUNK).unlink()
    (whole / "done/0.0").unlink()
    assert run(SPEC, HERE, whole).computed == 2 and tree(whole) == before


@pytest.mark.parametrize("fault", [flip, cut, empty])
def test_a_damaged_done_is_named_and_nothing_is_changed(whole, fault):
    fault(whole / "done/0.0")
    refused(whole, "done", "damaged", "--overwrite")


@pytest.mark.parametrize("name", [CHUNK, "message/1.0", "done/0.0"])
def test_every_flipped_byte_of_a_chunk_is_refused_or_harmless(whole, name):
    before, points = opened(whole), grid(SPEC)
    what = layout(points, HERE)
    store, content = module._open(whole, SPEC, points, what), (whole / name).read_bytes()
    harmless = 0
    for at in range(len(content)):
        flip(whole / name, at)
        try:
            assert module._pending(store, whole, [*what.names, "message"]) == []
        except RopesimError as error:
            assert "damaged" in str(error)
        else:                                          # a bit of the frame that no decoder reads
            harmless += 1
            xarray.testing.assert_identical(opened(whole), before)
        (whole / name).write_bytes(content)
    assert harmless <= 2


@pytest.mark.parametrize("name", [CHUNK, "message/1.0", "done/0.0"])
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_bit_of_a_chunk_is_refused_or_harmless(whole, name, data):
    content = (whole / name).read_bytes()
    changed = bytearray(content)
    changed[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    before = opened(whole)
    (whole / name).write_bytes(changed)
    try:
        assert run(SPEC, HERE, whole) == Counts(12, 0, 4)
        xarray.testing.assert_identical(opened(whole), before)
    except RopesimError as error:
        assert "damaged" in str(error)
    finally:
        (whole / name).write_bytes(content)


def test_a_chunk_of_another_shape_in_the_place_of_one_is_refused(whole, tmp_path):
    run(SPEC, HERE, tmp_path / "b.zarr", chunk=4)
    (whole / CHUNK).write_bytes((tmp_path / "b.zarr" / CHUNK).read_bytes())
    refused(whole, "slash_predicted", "damaged at [", "256 bytes for 128")


METADATA = [".zattrs", ".zmetadata", "done/.zarray", "slash_error/.zarray", "sink_stderr/.zattrs", "head.lag/.zarray"]


@pytest.mark.parametrize("fault", [cut, empty, Path.unlink])
@pytest.mark.parametrize("name", METADATA)
def test_truncated_metadata_is_named_and_nothing_is_changed(whole, fault, name):
    fault(whole / name)
    refused(whole, "metadata is damaged", "--overwrite", str(whole))
    run(SPEC, HERE, whole, overwrite=True)
    assert run(SPEC, HERE, whole) == Counts(12, 0, 4)


@pytest.mark.parametrize("name", ["head.lag/0", "head.strength/0", "lag/0", "key/0"])
@pytest.mark.parametrize("fault", [flip, Path.unlink])
def test_a_damaged_coordinate_is_refused(whole, name, fault):
    fault(whole / name)
    refused(whole, "damaged", "--overwrite")


@pytest.mark.parametrize("old, new", [('"shape": [\n    3,', '"shape": [\n    4,'),
                                      ('"chunks": [\n    1,', '"chunks": [\n    2,')])
@pytest.mark.parametrize("name", ["done", "slash_error"])
def test_metadata_that_agrees_with_itself_but_not_with_the_spec_is_refused(whole, name, old, new):
    import zarr
    file = whole / name / ".zarray"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    zarr.consolidate_metadata(str(whole))
    refused(whole, "metadata is damaged", "has the shape")


@pytest.mark.parametrize("change", [{"layout": 2}, {"version": "99.0"}, {"layout": "new"}])
def test_a_store_of_another_version_is_refused(whole, change):
    attrs = json.loads((whole / ".zattrs").read_text())
    (whole / ".zattrs").write_text(json.dumps(attrs | change))
    refused(whole, *map(str, change.values()), "ropesim", __version__, "--overwrite")
    run(SPEC, HERE, whole, overwrite=True)
    assert run(SPEC, HERE, whole).computed == 0


@pytest.mark.parametrize("damage", [False, True])
def test_a_store_is_refused_and_one_that_is_done_opened_before_any_worker_starts(whole, damage):
    class Unused(Executor):
        def submit(self, *given):
            raise AssertionError("asked for too early")

    assert run(SPEC, HERE, whole, executor=Unused()).computed == 0
    if damage:
        flip(whole / CHUNK)
    refused(whole, spec=SPEC if damage else tables({"head.strength": [5.0]}), executor=Unused())


def test_a_store_of_another_spec_is_refused_unless_overwritten(whole):
    other = tables({"head.strength": [5.0]})
    refused(whole, "holds something else", "--overwrite", spec=other)
    run(other, HERE, whole, overwrite=True)
    assert opened(whole).sizes == {"head.strength": 1, "lag": 8}
    assert [path.name for path in whole.parent.iterdir()] == ["a.zarr"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_or_file_that_is_none_of_ours_stays_as_it_is(tmp_path, path, overwrite):
    path.mkdir()
    refused(path, "none of ours", overwrite=overwrite)
    (path / "mine").write_text("precious")
    refused(path, "none of ours", overwrite=overwrite)
    shutil.rmtree(path)
    path.write_text("precious")
    refused(path, "none of ours", overwrite=overwrite)


# Machines

def test_a_sweep_resumed_on_another_machine_says_so_once_and_goes_on(path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        run(SPEC, HERE, path, chunk=2, progress=first(2))
    for kind in ("Other 1", "Other 2"):
        monkeypatch.setattr(chunks, "machine", lambda kind=kind: kind)
        said = []
        with suppress(KeyboardInterrupt):
            run(SPEC, HERE, path, progress=first(2), warn=said.append)
        assert len(said) == 1 and kind in said[0] and opened(path).attrs["platform"] in said[0]
        assert "1e-12" in said[0] and "\n" not in said[0] and str(path) in said[0]
    assert opened(path).done.all()
    run(SPEC, HERE, path, warn=said.append)                          # nothing is computed: nothing to say
    assert len(said) == 1


def test_a_sweep_on_one_machine_has_nothing_to_say_and_on_another_warns(path, monkeypatch):
    said = []
    run(SPEC, HERE, path, chunk=2, warn=said.append)
    assert said == []
    monkeypatch.setattr(chunks, "machine", lambda: "Other 1")
    with pytest.warns(UserWarning, match="Other 1"):
        run(SPEC, HERE, path, overwrite=True)


def test_each_worker_on_another_machine_is_told_of_once_by_name(path):
    class Mixed(ThreadPoolExecutor):
        """Hosts in turn: one like this, two unlike."""

        def submit(self, function, *given):
            host = next(hosts)
            return super().submit(lambda: function(*given)._replace(host=host, **unlike.get(host, {})))

    hosts = itertools.cycle(["here", "old1", "old2"])
    unlike = {"old1": {"machine": "Linux Nehalem"}, "old2": {"machine": "Linux Haswell"}}
    said = []
    with Mixed(2) as executor:
        assert run(SPEC, HERE, path, executor=executor, chunk=2, warn=said.append).computed == 12
    assert len(said) == 2
    assert all(any(f"{host} has {machine['machine']}" in line for line in said) for host, machine in unlike.items())


# Faults of the environment, and other processes

def leftovers(folder):
    return [file for file in folder.rglob("*") if file.suffix in (".partial", ".new", ".old")]


@pytest.mark.parametrize("swept", [{"head.lag": [1, 99, 2], "head.strength": {"linspace": [0, 1, 5]}},
                                   {"run.length": [4, 8, 6, 2, 3, 5, 7]}])
def test_chunks_are_written_as_zarr_writes_them(tmp_path, swept):
    import zarr
    path, spec = tmp_path / "a.zarr", tables(swept, quantities=["slash", "sink", "received"], samples=0)
    run(spec, HERE, path, chunk=4)
    mine = tree(path)
    with zarr.config.set({"array.write_empty_chunks": True}):
        for _, array in zarr.open_group(str(path), mode="r+", use_consolidated=False).arrays():
            values = array[...]
            for file in (path / array.basename).glob("[0-9]*"):
                file.unlink()
            array[...] = values
    assert tree(path) == mine


@pytest.mark.parametrize("where", ["array", "chunk", "done", "rename"])
def test_a_sweep_resumes_from_wherever_the_disk_was_full(whole, tmp_path, monkeypatch, where):
    from zarr.storage import _local
    path, put, rename, count = tmp_path / "b.zarr", _local._put, Path.rename, [0]
    fault = OSError(errno.ENOSPC, "No space left on device")

    def stops(put, file, *given, **named):
        file = Path(file)
        count[0] += {"array": file.name == ".zarray", "chunk": file.name[0] in "012", "rename": False,
                     "done": file.parent.name == "done" and file.name[0] != "."}[where]
        if count[0] == (9 if where == "chunk" else 4):       # after the four coordinates
            raise fault
        return put(file, *given, **named)

    def stays(self, target):
        if where == "rename":
            raise fault
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(_local, "_put", partial(stops, put))
        patch.setattr(module, "_put", partial(stops, module._put))
        patch.setattr(Path, "rename", stays)
        with pytest.raises(OSError, match="No space") as error:
            run(SPEC, HERE, path, chunk=2)
    assert error and signal.getsignal(signal.SIGINT) is signal.default_int_handler    # an interrupt is one again
    assert not leftovers(tmp_path) and path.exists() == (where in ("chunk", "done"))
    assert run(SPEC, HERE, path, chunk=2).points == 12
    assert tree(path) == tree(whole) and {file.name for file in tmp_path.iterdir()} == {"a.zarr", "b.zarr"}


@pytest.mark.parametrize("fault", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
def test_a_chunk_s_file_that_cannot_take_its_place_leaves_nothing(path, monkeypatch, fault):
    replace = os.replace

    def fails(source, target):
        if Path(target).parent.name == "done" and Path(target).name[0] != ".":
            raise fault
        return replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fails)
        with pytest.raises(type(fault)):
            run(SPEC, HERE, path, chunk=2)
    assert not leftovers(path) and not list((path / "done").glob("[0-9]*"))
    assert run(SPEC, HERE, path, chunk=2).computed == 12


@pytest.mark.parametrize("left", [".a.zarr.new", ".a.zarr.old", "a.zarr/done/0.17.partial"])
def test_what_a_killed_process_left_is_removed(whole, left):
    before = tree(whole)
    file = whole.parent / left
    file.mkdir() if file.suffix != ".partial" else file.write_text("")
    run(SPEC, HERE, whole)
    assert tree(whole) == before and [path.name for path in whole.parent.iterdir()] == ["a.zarr"]


def test_what_a_process_that_was_killed_while_it_built_a_store_left_is_replaced(tmp_path, path):
    left = tmp_path / ".a.zarr.new" / "left"
    left.mkdir(parents=True)
    (left / "0.0").write_bytes(b"half a chunk")
    (left.parent / ".zgroup").write_text("{")
    run(SPEC, HERE, path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"] and not (path / "left").exists()
    assert opened(path).sizes["head.strength"] == 4


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_store_that_another_process_writes_is_refused(whole, overwrite):
    handle = os.open(whole, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)                       # locks belong to the open file: ours are others' too
    refused(whole, "another process", overwrite=overwrite)
    os.close(handle)
    assert run(SPEC, HERE, whole, overwrite=overwrite).computed == 12 * overwrite


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_store_that_another_process_is_making_is_refused_and_stays(tmp_path, path, overwrite):
    beside = tmp_path / ".a.zarr.new"
    beside.mkdir()
    (beside / "part").write_text("theirs")
    handle = os.open(beside, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    refused(path, "another process", overwrite=overwrite)
    os.close(handle)
    assert run(SPEC, HERE, path).computed == 12


@pytest.mark.parametrize("moment", ["made", "opened", "locked"])
def test_a_store_that_another_process_finishes_meanwhile_is_refused_and_stays(tmp_path, path, monkeypatch, moment):
    run(SPEC, HERE, tmp_path / "b.zarr")
    theirs, done = tree(tmp_path / "b.zarr"), []
    mkdir, opens, flock = Path.mkdir, os.open, fcntl.flock

    def publish():
        if not done:
            done.append(True)
            if moment != "made":
                (tmp_path / ".a.zarr.new").rmdir()
            (tmp_path / "b.zarr").rename(path)

    def made(self, *given, **named):
        if moment == "made" and self.name == ".a.zarr.new":
            publish()
        mkdir(self, *given, **named)

    def opened_(place, *given, **named):
        handle = opens(place, *given, **named)
        if moment == "opened":
            publish()
        return handle

    def locked(*given):
        flock(*given)
        if moment == "locked":
            publish()

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", made)
        patch.setattr(module.os, "open", opened_)
        patch.setattr(module.fcntl, "flock", locked)
        with pytest.raises(RopesimError, match="another process"):
            run(SPEC, HERE, path)
    assert tree(path) == theirs and [file.name for file in tmp_path.iterdir()] == ["a.zarr"]


def test_an_error_of_a_point_that_is_no_bad_input_ends_the_sweep_and_keeps_what_is_done(path, monkeypatch):
    right, count = sweep.build, []

    def fails(*given):
        count.append(given)
        if len(count) > 4:                                  # the layout is the first, a chunk has two
            raise MemoryError("2 TiB")
        return right(*given)

    with monkeypatch.context() as patch:
        patch.setattr(sweep, "build", fails)
        with pytest.raises(MemoryError):
            run(SPEC, HERE, path, chunk=2)
    assert opened(path).done.values.sum() == 2 and run(SPEC, HERE, path).computed == 10
