import errno
import io
import json
import os
import pickle
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save
from tolerances import EXACT

from ropesim.captures import Capture, Head, read, write
from ropesim.errors import RopesimError

EXAMPLE = Path(__file__).parent.parent / "ropesim" / "examples" / "smollm2_heads.npz"
SUFFIXES = (".npz", ".safetensors")
STRINGS = ("scale", "layout", "rotary_dim", "attention_factor", "text")   # metadata in safetensors
ARRAYS = ("q", "k", "theta", "window", "tokens", "labels")


def layered(**changes):
    """The fields of a sound file: 2 layers, 4 heads on 2 keys, 5 tokens, d = 6; None leaves one out."""
    rng = np.random.default_rng(3)
    fields = {"q": rng.normal(size=(2, 4, 5, 6)).astype(np.float32), "k": rng.normal(size=(2, 2, 5, 6)),
              "theta": np.array([[1.0, 0.1, 0.0], [0.5, 0.05, 0.0]]), "scale": 0.25, "layout": "half",
              "rotary_dim": 4, "attention_factor": 1.5, "window": np.array([0, 3]),
              "tokens": np.arange(5), "text": "a canal"} | changes
    return {name: value for name, value in fields.items() if value is not None}


def flat(**changes):
    rng = np.random.default_rng(4)
    fields = {"q": rng.normal(size=(3, 5, 6)), "k": rng.normal(size=(3, 5, 6)), "theta": np.ones(3), "scale": 1.0,
              "layout": "interleaved", "layer": np.array([7, 2, 7]), "head": np.array([1, 0, 0])} | changes
    return {name: value for name, value in fields.items() if value is not None}


def store(folder, fields, suffix=".npz"):
    """Written without ropesim, as a user would."""
    path = folder / f"capture{suffix}"
    if suffix == ".npz":
        np.savez(path, **fields)
    else:
        arrays = {name: np.ascontiguousarray(x) for name, x in fields.items() if name not in STRINGS}
        path.write_bytes(save(arrays, metadata={name: str(fields[name]) for name in STRINGS if name in fields}))
    return path


def same(one, other):
    """Equal in every field, precision included."""
    for name in (*ARRAYS, *STRINGS):
        x, y = getattr(one, name), getattr(other, name)
        if name in ARRAYS and x is not None and y is not None:
            assert x.dtype == y.dtype and x.shape == y.shape and (x == y).all(), name
        else:
            assert type(x) is type(y) and x == y, name


# What is read

@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_layered_file_is_read_as_it_stands(tmp_path, suffix):
    fields = layered()
    capture = read(store(tmp_path, fields, suffix))
    for name in ("q", "k", "theta", "window", "tokens"):
        np.testing.assert_array_equal(getattr(capture, name), fields[name])
    assert [getattr(capture, name) for name in STRINGS] == [fields[name] for name in STRINGS]
    assert capture.q.dtype == np.float32 and capture.k.dtype == np.float64


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_flat_file_is_looked_up_by_its_labels(tmp_path, suffix):
    fields = flat()
    capture = read(store(tmp_path, fields, suffix))
    assert capture.heads() == [(7, 1), (2, 0), (7, 0)]
    for row, (layer, head) in enumerate(capture.heads()):
        found = capture.head(layer, head)
        np.testing.assert_array_equal(found.q, fields["q"][row])
        np.testing.assert_array_equal(found.k, fields["k"][row])
        np.testing.assert_array_equal(found.theta, fields["theta"])
        assert found.window == 0


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_optional_fields_may_be_absent(tmp_path, suffix):
    optional = dict.fromkeys(["window", "tokens", "text", "rotary_dim", "attention_factor"])
    capture = read(store(tmp_path, layered(**optional), suffix))
    assert (capture.window, capture.tokens, capture.text, capture.rotary_dim) == (None, None, None, None)
    assert capture.attention_factor == 1.0 and capture.head(1, 3).window == 0


def test_grouped_queries_share_a_key_and_layers_keep_their_theta_and_window(tmp_path):
    fields = layered()
    capture = read(store(tmp_path, fields))
    assert capture.heads() == [(layer, head) for layer in (0, 1) for head in (0, 1, 2, 3)]
    for layer, head in capture.heads():
        found = capture.head(layer, head)
        assert isinstance(found, Head) and found.q.dtype == found.k.dtype == np.float64
        np.testing.assert_array_equal(found.q, fields["q"][layer, head])
        np.testing.assert_array_equal(found.k, fields["k"][layer, (0, 0, 1, 1)[head]])
        np.testing.assert_array_equal(found.theta, fields["theta"][layer])
        assert found.window == (0, 3)[layer]


def test_one_theta_serves_all_layers():
    capture = Capture(**layered(theta=np.array([1.0, 0.1, 0.0])))
    np.testing.assert_array_equal(capture.head(0, 0).theta, capture.head(1, 0).theta)


def test_the_shipped_example_is_twelve_heads_of_512_tokens():
    capture = read(EXAMPLE)
    assert len(capture.heads()) == 12 and (28, 4) in capture.heads()
    assert capture.q.shape == capture.k.shape == (12, 1, 512, 64) and capture.q.dtype == np.float16
    assert (capture.scale, capture.layout, capture.rotary_dim) == (1 / 8, "half", None)
    np.testing.assert_allclose(capture.theta, 1e5 ** (-np.arange(32) / 32), rtol=EXACT)


def test_scores_of_the_example_show_its_sink():
    """One of its heads puts all of its mass on the first token: the arrays are what data/README.md says."""
    capture = read(EXAMPLE)
    position = np.arange(512)
    shares = {}
    for label in capture.heads():
        q, k, theta, _ = capture.head(*label)
        turn = np.exp(1j * np.outer(position, theta))
        query, key = ((x[:, :32] + 1j * x[:, 32:]) * turn for x in (q, k))
        logits = np.where(position[:, None] >= position, capture.scale * (query @ key.conj().T).real, -np.inf)
        scores = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares[label] = (scores[:, 0] / scores.sum(axis=1)).mean()
    assert max(shares.values()) == pytest.approx(1.0, abs=5e-4)


def test_fields_of_other_names_are_ignored_and_never_opened(tmp_path):
    assert read(store(tmp_path, layered(notes=np.array([{"object": 1}]), v=np.zeros(3)))).scale == 0.25


def test_arrays_are_read_only():
    capture = Capture(**layered())
    for name in ("q", "k", "theta", "window", "tokens"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(capture, name)[...] = 0
    assert read(EXAMPLE).labels.flags.writeable is False


def test_captures_are_compared_by_identity():
    one = Capture(**layered())
    assert one == one and one != Capture(**layered()) and hash(one) != hash(Capture(**layered()))


# What is written

finite = st.floats(-1e3, 1e3, width=16)


@st.composite
def captures(draw):
    layers, keys, group, length, pairs = (draw(st.integers(1, 2)) for _ in range(5))
    flat_form = draw(st.booleans())
    keys, group = (1, 1) if flat_form else (keys, group)
    per_layer = () if flat_form or draw(st.booleans()) else (layers,)
    kind = draw(st.sampled_from([np.float16, np.float32, np.float64, ">f4"]))
    q, k = (draw(hnp.arrays(kind, (layers, heads, length, 2 * pairs), elements=finite))
            for heads in (keys * group, keys))
    theta = draw(hnp.arrays(np.float64, (*per_layer, pairs), elements=finite))
    windows = None if flat_form else draw(st.none() | hnp.arrays(np.int64, layers, elements=st.integers(0, 9)))
    return Capture(
        q, k, theta, draw(st.floats(-2, 2)), draw(st.sampled_from(["half", "interleaved"])),
        draw(st.sampled_from([None, 2 * pairs])), draw(st.floats(0.5, 2)), windows,
        draw(st.none() | hnp.arrays(np.int32, length)), draw(st.none() | st.text("aé \n漢", max_size=5)),
        np.stack([np.arange(layers) * 3, np.full(layers, 5)], axis=1) if flat_form else None)


@given(captures(), st.sampled_from(SUFFIXES))
def test_what_is_written_is_read_back(tmp_path_factory, capture, suffix):
    path = tmp_path_factory.mktemp("written") / f"capture{suffix}"
    write(path, capture)
    back = read(path)
    if suffix == ".safetensors":     # which holds little-endian numbers only
        capture = Capture(**vars(capture) | {"q": capture.q.astype(back.q.dtype), "k": capture.k.astype(back.k.dtype)})
    same(back, capture)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_example_survives_both_formats(tmp_path, suffix):
    write(tmp_path / f"copy{suffix}", read(EXAMPLE))
    same(read(tmp_path / f"copy{suffix}"), read(EXAMPLE))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_arrays_in_another_memory_order_are_written_right(tmp_path, suffix):
    """The safetensors package writes the bytes of a transposed array as they lie."""
    fields = layered()
    fields["q"] = np.asfortranarray(fields["q"])
    write(tmp_path / f"copy{suffix}", Capture(**fields))
    np.testing.assert_array_equal(read(tmp_path / f"copy{suffix}").q, fields["q"])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_is_replaced_and_keeps_the_usual_permissions(tmp_path, suffix):
    path = tmp_path / f"capture{suffix}"
    path.write_bytes(b"older")
    write(path, Capture(**layered()))
    assert read(path).text == "a canal" and os.listdir(tmp_path) == [path.name]
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_leaves_the_older_file_and_nothing_else(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"capture{suffix}"
    path.write_bytes(b"older")

    def full(name, mode):
        open(name, mode).close()
        return io.open("/dev/full", "wb", buffering=0)

    monkeypatch.setattr("ropesim.captures.open", full, raising=False)
    with pytest.raises(OSError) as caught:
        write(path, Capture(**layered()))
    assert caught.value.errno == errno.ENOSPC and not isinstance(caught.value, RopesimError)
    assert path.read_bytes() == b"older" and os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("name", ["capture.txt", "capture", "nowhere/capture.npz", "folder.npz"])
def test_a_bad_path_is_refused_before_anything_is_written(tmp_path, name):
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(RopesimError, match="file"):
        write(tmp_path / name, Capture(**layered()))
    assert os.listdir(tmp_path) == ["folder.npz"]


# What is refused

x = layered()
INFINITE = np.where(np.arange(6) == 3, np.inf, x["q"])
BAD_FIELDS = [
    ({"q": None}, "q"), ({"k": None}, "k"), ({"theta": None}, "theta"), ({"scale": None}, "scale"),
    ({"layout": None}, "layout"),
    ({"q": x["q"][0, 0]}, "shapes of q, k"), ({"q": x["q"][None]}, "shapes of q, k"),
    ({"k": x["k"][0]}, "shapes of q, k"),
    ({"q": x["q"][:, :3]}, "shape of k"), ({"k": x["k"][:1]}, "shape of k"), ({"k": x["k"][:, :, :4]}, "shape of k"),
    ({"k": x["k"][..., :4]}, "shape of k"), ({"q": x["q"][..., :5], "k": x["k"][..., :5]}, "d"),
    ({"q": x["q"][:, :0]}, "shape of q"), ({"k": x["k"][:, :0]}, "shape of k"), ({"q": x["q"][:, :, :0]}, "shape of q"),
    ({"q": x["q"].astype(int)}, "dtype of q"), ({"k": x["k"] + 0j}, "dtype of k"),
    ({"q": INFINITE}, "q"), ({"k": np.full((2, 2, 5, 6), np.nan)}, "k"),
    ({"theta": np.ones(2)}, "shape of theta"), ({"theta": np.ones((3, 3))}, "shape of theta"),
    ({"theta": np.ones((2, 2, 3))}, "shape of theta"), ({"theta": np.array([np.nan, 0, 0])}, "theta"),
    ({"theta": np.ones(3)}, "theta"),     # rotates the pair beyond rotary_dim = 4
    ({"scale": np.inf}, "scale"), ({"scale": np.nan}, "scale"), ({"scale": "x"}, "scale"),
    ({"layout": "pairs"}, "layout"), ({"layout": 3}, "layout"),
    ({"rotary_dim": 3}, "rotary_dim"), ({"rotary_dim": 8}, "rotary_dim"), ({"rotary_dim": -2}, "rotary_dim"),
    ({"rotary_dim": 2.5}, "rotary_dim"),
    ({"attention_factor": np.inf}, "attention_factor"), ({"attention_factor": np.nan}, "attention_factor"),
    ({"attention_factor": 0.0}, "attention_factor"),
    ({"window": np.array([0, -1])}, "window"), ({"window": np.array([4])}, "shape of window"),
    ({"window": np.array([1.0, 2.0])}, "dtype of window"), ({"window": np.array([True, False])}, "dtype of window"),
    ({"tokens": np.arange(4)}, "shape of tokens"), ({"tokens": np.arange(5) / 2}, "dtype of tokens"),
    ({"layer": np.array([0, 1])}, "layer, head"), ({"head": np.array([0, 1])}, "layer, head"),
]
y = flat()
BAD_FLAT_FIELDS = [
    ({"layer": None}, "layer"), ({"head": None}, "head"), ({"layer": np.arange(2)}, "shape of layer"),
    ({"head": np.arange(3) / 2}, "dtype of head"), ({"layer": np.array([7, 2, -1])}, "layer, head"),
    ({"head": np.array([1, 0, 1])}, "layer, head"), ({"k": y["k"][:2]}, "shape of k"),
    ({"theta": np.ones((3, 3))}, "shape of theta"), ({"window": np.zeros(3, int)}, "shape of window"),
]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("make, changes, name", [(layered, *bad) for bad in BAD_FIELDS]
                         + [(flat, *bad) for bad in BAD_FLAT_FIELDS])
def test_a_bad_field_is_named(tmp_path, suffix, make, changes, name):
    if suffix == ".safetensors" and any(np.asarray(value).dtype.kind == "c" for value in changes.values()):
        changes = {key: value.astype(np.complex64) for key, value in changes.items()}    # its only complex kind
    path = store(tmp_path, make(**changes), suffix)
    with pytest.raises(RopesimError) as caught:
        read(path)
    assert caught.value.name == name
    assert str(caught.value).startswith(f"{path}: {name} = ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", STRINGS)
def test_a_scalar_of_an_npz_is_a_single_value(tmp_path, name):
    with pytest.raises(RopesimError, match=f"shape of {name}"):
        read(store(tmp_path, layered(**{name: np.array([1, 2])})))


def test_text_is_a_string(tmp_path):
    with pytest.raises(RopesimError, match="text"):
        read(store(tmp_path, layered(text=3)))


def test_a_capture_of_several_heads_a_layer_has_no_labels():
    with pytest.raises(RopesimError, match=r"shape of q = \(2, 4, 5, 6\): labelled heads"):
        Capture(**layered(), labels=np.array([[0, 0], [1, 0]]))


@pytest.mark.parametrize("layer, head, name", [(2, 0, "layer, head"), (0, 4, "layer, head"), (-1, 0, "layer, head"),
                                               (0.0, 0, "layer"), (0, None, "head"), (True, 0, "layer")])
def test_a_head_that_is_not_there_is_refused(layer, head, name):
    with pytest.raises(RopesimError) as caught:
        Capture(**layered()).head(layer, head)
    assert caught.value.name == name


def test_the_heads_that_are_there_are_listed():
    with pytest.raises(RopesimError, match=r"the capture has \(16, 0\), \(11, 6\), .*\(5, 1\)$"):
        read(EXAMPLE).head(16, 1)
    many = np.zeros((9, 9, 1, 2))
    with pytest.raises(RopesimError, match=r"\(0, 0\), .* \.\.\. \(81 in all, up to \(8, 8\)\)$"):
        Capture(many, many, np.ones(1), 1.0, "half").head(9, 0)


class Bomb:
    """Unpickled, it would write a file; nothing may unpickle it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_bomb_goes_off_where_pickles_are_loaded(tmp_path):
    """The known-bad case of the next test: the file it uses is dangerous."""
    np.load(store(tmp_path, layered(q=np.array([Bomb(tmp_path / "executed")]))), allow_pickle=True)["q"]
    assert (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", ["q", "theta", "scale", "layer"])
def test_object_arrays_are_never_unpickled(tmp_path, name):
    path = store(tmp_path, layered(**{name: np.array([Bomb(tmp_path / "executed")])}))
    with pytest.raises(RopesimError, match="numbers only") as caught:
        read(path)
    assert caught.value.name == name and not (tmp_path / "executed").exists()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_pickle_by_another_name_is_never_unpickled(tmp_path, suffix):
    path = tmp_path / f"capture{suffix}"
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "executed")))
    with pytest.raises(RopesimError, match="file"):
        read(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", ["capture.txt", "capture", "missing.npz", "missing.safetensors", "folder.npz",
                                  "folder.safetensors"])
def test_a_path_that_is_no_capture_is_refused(tmp_path, name):
    for suffix in SUFFIXES:
        (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(RopesimError, match="file = '(missing|a directory)'|suffix of the file"):
        read(tmp_path / name)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("content", [b"", b"not a capture", b"PK\x03\x04", b"\xff" * 100])
def test_rubbish_is_refused(tmp_path, suffix, content):
    path = tmp_path / f"capture{suffix}"
    path.write_bytes(content)
    with pytest.raises(RopesimError, match="file = "):
        read(path)


def test_a_bare_array_is_not_a_capture(tmp_path):
    with open(tmp_path / "q.npz", "wb") as file:
        np.save(file, x["q"])
    with pytest.raises(RopesimError, match="file = "):
        read(tmp_path / "q.npz")


def test_a_member_that_is_not_an_array_is_refused(tmp_path):
    path = store(tmp_path, layered(q=None))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("q.npy", b"rm -rf")
    with pytest.raises(RopesimError, match="q"):
        read(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused(tmp_path_factory, suffix, share):
    path = store(tmp_path_factory.mktemp("cut"), layered(), suffix)
    whole = path.read_bytes()
    path.write_bytes(whole[:int(share * len(whole))])
    with pytest.raises(RopesimError):
        read(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(data=st.data())
def test_a_damaged_file_is_a_capture_or_refused(tmp_path_factory, suffix, data):
    path = store(tmp_path_factory.mktemp("damaged"), layered(), suffix)
    content = bytearray(path.read_bytes())
    for _ in range(3):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        assert read(path).heads()
    except RopesimError:
        pass


@pytest.mark.parametrize("kind", ["BF16", "F8_E4M3"])
def test_short_floats_are_refused_with_the_remedy(tmp_path, kind):
    size = {"BF16": 2, "F8_E4M3": 1}[kind]
    header = json.dumps({"q": {"dtype": kind, "shape": [1, 1, 2, 2], "data_offsets": [0, 4 * size]}}).encode()
    (tmp_path / "short.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4 * size))
    with pytest.raises(RopesimError, match=f"dtype of q = '{kind}': convert it to float32"):
        read(tmp_path / "short.safetensors")


def test_without_the_package_the_remedy_is_named_and_npz_still_works(tmp_path, monkeypatch):
    paths = {suffix: store(tmp_path, layered(), suffix) for suffix in SUFFIXES}
    for name in ("safetensors", "safetensors.numpy"):
        monkeypatch.setitem(sys.modules, name, None)
    assert read(paths[".npz"]).scale == 0.25
    with pytest.raises(RopesimError, match="safetensors.*install it"):
        read(paths[".safetensors"])
    with pytest.raises(RopesimError, match="safetensors.*install it"):
        write(tmp_path / "other.safetensors", Capture(**layered()))
    assert sorted(os.listdir(tmp_path)) == ["capture.npz", "capture.safetensors"]
