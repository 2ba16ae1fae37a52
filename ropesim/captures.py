"""Capture files: queries and keys of real heads, recorded before RoPE. Read, checked and written here.

A file is untrusted: nothing in it is ever unpickled, and whatever is wrong with it is a RopesimError
that names the field. Pairing coordinates into complex numbers is left to `bands.pair`, which takes
`layout` and `rotary_dim` as they stand here.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from uuid import uuid4

import numpy as np

from .errors import RopesimError, array, number, whole

LAYOUTS = ("half", "interleaved")
REQUIRED = ("q", "k", "theta", "scale", "layout")
ARRAYS = ("q", "k", "theta", "window", "tokens", "layer", "head")
PARSERS: dict[str, Callable[[str], Any]] = {    # safetensors keeps these as metadata strings
    "scale": float, "layout": str, "rotary_dim": int, "attention_factor": float, "text": str}
SHOWN = 24                                      # (layer, head) labels that an error lists


class Head(NamedTuple):
    """One head: q, k float64[T, d], before RoPE; theta float64[d/2], rad/token; window, 0 for none."""

    q: np.ndarray
    k: np.ndarray
    theta: np.ndarray
    window: int


@dataclass(frozen=True, eq=False)
class Capture:
    """Queries and keys of L layers of H heads over T tokens, checked; compared by identity.

    q: float[L, H, T, d], k: float[L, Hkv, T, d], of 2, 4 or 8 bytes, before RoPE and after any q/k
    norm; H is a multiple of Hkv and query head h reads key head h // (H/Hkv). theta: float64[B] or
    [L, B], rad/token, B = d/2, zero for the pairs beyond rotary_dim. scale multiplies the logits,
    attention_factor > 0 q and k of the rotary pairs. layout: "half" or "interleaved"; rotary_dim: even,
    None for d. window: int[L], tokens that a row of each layer sees, 0 for all; None for all
    everywhere. tokens: int[T]. labels: int[L, 2], the (layer, head) of each row when H = Hkv = 1
    (the flat form); None numbers them from 0. The arrays are read-only views and are not copied.
    Raises RopesimError.

    >>> x = np.ones((1, 2, 3, 4))
    >>> Capture(x, x, np.ones(2), 0.5, "half").heads()
    [(0, 0), (0, 1)]
    """

    q: np.ndarray = field(repr=False)
    k: np.ndarray = field(repr=False)
    theta: np.ndarray = field(repr=False)
    scale: float
    layout: str
    rotary_dim: int | None = None
    attention_factor: float = 1.0
    window: np.ndarray | None = None
    tokens: np.ndarray | None = field(default=None, repr=False)
    text: str | None = field(default=None, repr=False)
    labels: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name, value in _checked(self).items():
            object.__setattr__(self, name, _read_only(value) if isinstance(value, np.ndarray) else value)

    def heads(self) -> list[tuple[int, int]]:
        """The (layer, head) labels, in the order of the file."""
        if self.labels is None:
            return [(int(layer), int(head)) for layer, head in np.ndindex(self.q.shape[:2])]
        return [(int(layer), int(head)) for layer, head in self.labels]

    def head(self, layer: int, head: int) -> Head:
        """q, k, theta and window of one head; RopesimError if (layer, head) is not in the capture.

        q, k: float64[T, d], not paired and not scaled, grouped keys resolved; theta: float64[d/2].

        >>> x = np.ones((1, 2, 3, 4))
        >>> Capture(x, x[:, :1], np.ones(2), 0.5, "half").head(0, 1).k.shape
        (3, 4)
        """
        row, query = divmod(self._place(whole("layer", layer), whole("head", head)), self.q.shape[1])
        key = query * self.k.shape[1] // self.q.shape[1]
        return Head(self.q[row, query].astype(np.float64), self.k[row, key].astype(np.float64),
                    self.theta[row] if self.theta.ndim == 2 else self.theta,
                    0 if self.window is None else int(self.window[row]))

    def _place(self, layer: int, head: int) -> int:
        labels = self.heads()
        if (layer, head) not in labels:
            raise RopesimError("layer, head", (layer, head), f"the capture has {_listed(labels)}")
        return labels.index((layer, head))


def read(path: str | os.PathLike[str]) -> Capture:
    """The capture in a file, checked.

    path: an .npz or a .safetensors file, layered (q [L, H, T, d]) or flat (q, k [n, T, d] with layer,
    head int[n], one theta and no window). Fields of other names are ignored. Needs the safetensors
    package for .safetensors only. Raises RopesimError, its message led by the path, for anything
    that is not a sound capture.

    >>> import importlib.resources
    >>> example = importlib.resources.files("ropesim") / "examples" / "smollm2_heads.npz"
    >>> read(example).heads()[:3]
    [(16, 0), (11, 6), (11, 1)]
    """
    path = Path(path)
    try:
        load, _ = _format(path)
        if not path.is_file():
            raise RopesimError("file", "a directory" if path.is_dir() else "missing", "name a file that exists")
        return _assembled(load(path))
    except RopesimError as error:
        error.args = (f"{path}: {error}",)   # two captures may be open: say which one is meant
        raise


def write(path: str | os.PathLike[str], capture: Capture) -> None:
    """Write a capture so that `read` returns its equal; labelled captures take the flat form.

    path: ends in .npz or .safetensors; a file of that name is replaced, as the last step, so that
    no half-written file ever bears it. Raises RopesimError for a bad path and OSError when the
    system fails (disk full), after removing what was written.

    >>> x, folder = np.ones((1, 1, 2, 2)), getfixture("tmp_path")
    >>> write(folder / "one.npz", Capture(x, x, np.ones(1), 1.0, "half"))
    >>> read(folder / "one.npz").heads()
    [(0, 0)]
    """
    path = Path(path)
    _, save = _format(path)
    if path.is_dir() or not path.parent.is_dir():
        raise RopesimError("file", str(path), "use a file name in a directory that exists")
    arrays, scalars = _fields(capture)
    beside = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        with open(beside, "xb") as file:
            save(file, arrays, scalars)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


# What a capture must be

def _checked(given: Capture) -> dict[str, Any]:
    """Every field of `given` in its final type, or a RopesimError."""
    q, k = _queries_and_keys(given.q, given.k)
    layers, _, length, dim = q.shape
    rotary_dim = None if given.rotary_dim is None else _rotary_dim(given.rotary_dim, dim)
    return {
        "q": q, "k": k, "theta": _theta(given.theta, layers, dim, dim if rotary_dim is None else rotary_dim),
        "scale": number("scale", given.scale), "layout": _layout(given.layout), "rotary_dim": rotary_dim,
        "attention_factor": number("attention_factor", given.attention_factor, above=0),
        "window": None if given.window is None else _whole_numbers("window", given.window, [layers], least=0),
        "tokens": None if given.tokens is None else _whole_numbers("tokens", given.tokens, [length]),
        "text": _text(given.text),
        "labels": None if given.labels is None else _labels(given, q)}


def _queries_and_keys(q: Any, k: Any) -> tuple[np.ndarray, np.ndarray]:
    q = _floats("q", q, [None] * 4)
    layers, heads, length, dim = q.shape
    if dim % 2:
        raise RopesimError("d", dim, "the last dimension of q holds pairs: it must be even")
    k = _floats("k", k, [layers, None, length, dim])
    if heads % k.shape[1]:
        raise RopesimError("shape of k", k.shape, f"the {heads} heads of q must be a multiple of the heads of k")
    return q, k


def _floats(name: str, value: Any, shape: list[int | None]) -> np.ndarray:
    """Kept in its own precision: a capture may be large."""
    kind = np.asarray(value).dtype
    if kind.kind != "f" or kind.itemsize > 8:
        raise RopesimError(f"dtype of {name}", str(kind), "use float16, float32 or float64")
    out = array(name, value, shape, kind)
    if not out.size:
        raise RopesimError(f"shape of {name}", out.shape, "use at least one layer, head, token and pair")
    return out


def _theta(value: Any, layers: int, dim: int, rotary_dim: int) -> np.ndarray:
    theta = array("theta", value, [layers, dim // 2] if np.ndim(value) == 2 else [dim // 2])
    beyond = theta[..., rotary_dim // 2:]
    if beyond.any():
        raise RopesimError("theta", float(beyond[beyond != 0][0]), "use 0 for the pairs beyond rotary_dim")
    return theta


def _rotary_dim(value: Any, dim: int) -> int:
    rotary_dim = whole("rotary_dim", value, least=0, most=dim)
    if rotary_dim % 2:
        raise RopesimError("rotary_dim", rotary_dim, "it counts coordinates of pairs: use an even number")
    return rotary_dim


def _layout(value: Any) -> str:
    if not isinstance(value, str) or value not in LAYOUTS:
        raise RopesimError("layout", value, f"use one of {', '.join(LAYOUTS)}")
    return str(value)


def _text(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise RopesimError("text", value, "use a string")
    return None if value is None else str(value)


def _labels(given: Capture, q: np.ndarray) -> np.ndarray:
    """One (layer, head) per row of the flat form, each once: they are looked up."""
    several = {"q": q.shape[1] > 1, "theta": np.ndim(given.theta) == 2, "window": given.window is not None}
    for name in filter(several.__getitem__, several):
        raise RopesimError(f"shape of {name}", np.shape(getattr(given, name)),
                           "labelled heads (the flat form) have one head a row, one theta and no window")
    labels = _whole_numbers("layer, head", given.labels, [q.shape[0], 2], least=0)
    different, counts = np.unique(labels, axis=0, return_counts=True)
    if counts.max() > 1:
        raise RopesimError("layer, head", tuple(different[counts.argmax()].tolist()), "use every (layer, head) once")
    return labels


def _whole_numbers(name: str, value: Any, shape: list[int | None], *, least: float = -np.inf) -> np.ndarray:
    out = array(name, value, shape, np.asarray(value).dtype)
    if out.dtype.kind not in "iu":
        raise RopesimError(f"dtype of {name}", str(out.dtype), "use whole numbers")
    if out.size and out.min() < least:
        raise RopesimError(name, int(out.min()), f"use whole numbers from {least:g} on")
    return out.astype(np.int64, copy=False)


def _read_only(value: np.ndarray) -> np.ndarray:
    view = value.view()
    view.flags.writeable = False
    return view


def _listed(labels: list[tuple[int, int]]) -> str:
    rest = f", ... ({len(labels)} in all, up to {max(labels)})" if len(labels) > SHOWN else ""
    return ", ".join(map(str, labels[:SHOWN])) + rest


# Fields of a file -> Capture, and back

def _assembled(fields: dict[str, Any]) -> Capture:
    """A Capture of what the file holds; the flat form becomes n layers of one head with labels."""
    for name in REQUIRED:
        if name not in fields:
            raise RopesimError(name, None, f"the file lacks it; a capture needs {', '.join(REQUIRED)}")
    q, k = fields["q"], fields["k"]
    if q.ndim not in (3, 4) or k.ndim != q.ndim:
        raise RopesimError("shapes of q, k", (q.shape, k.shape),
                           "use [L, H, T, d] and [L, Hkv, T, d], or [n, T, d] twice with layer and head [n]")
    return Capture(**(_unflattened(fields) if q.ndim == 3 else _layered(fields)))


def _layered(fields: dict[str, Any]) -> dict[str, Any]:
    if "layer" in fields or "head" in fields:
        raise RopesimError("layer, head", "given", "q [L, H, T, d] is numbered by position; leave both out")
    return fields


def _unflattened(fields: dict[str, Any]) -> dict[str, Any]:
    fields = dict(fields)
    for name in ("layer", "head"):
        if name not in fields:
            raise RopesimError(name, None, "the file lacks it; q [n, T, d] needs layer and head [n]")
    count = len(fields["q"])
    layer, head = (_whole_numbers(name, fields.pop(name), [count]) for name in ("layer", "head"))
    return fields | {"q": fields["q"][:, None], "k": fields["k"][:, None], "labels": np.stack([layer, head], axis=1)}


def _fields(capture: Capture) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the scalars of the file that `capture` is written to; what is None is left out."""
    arrays = {name: getattr(capture, name) for name in ("q", "k", "theta", "window", "tokens")}
    if capture.labels is not None:
        layer, head = capture.labels.T
        arrays |= {"q": capture.q[:, 0], "k": capture.k[:, 0], "layer": layer, "head": head}
    scalars = {name: getattr(capture, name) for name in PARSERS}
    return ({name: np.ascontiguousarray(value) for name, value in arrays.items() if value is not None},
            {name: value for name, value in scalars.items() if value is not None})


# The two formats

def _damaged(name: str, error: Exception) -> RopesimError:
    """A parser met with a bad file raises almost anything; all of it means this."""
    return RopesimError(name, f"{type(error).__name__}: {error}", "unreadable; write the file again, with numbers only")


def _read_npz(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as stream:     # np.load, given a name, leaves a damaged file open
            file = np.load(stream, allow_pickle=False)
            fields = {name: _npz_array(file, name) for name in (*ARRAYS, *PARSERS) if name in file.files}
    except RopesimError:
        raise
    except Exception as error:               # a bare .npy array, which has no files, ends here too
        raise _damaged("file", error) from error
    return {name: _scalar(name, value) if name in PARSERS else value for name, value in fields.items()}


def _npz_array(file: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(file[name])
    except Exception as error:
        raise _damaged(name, error) from error


def _scalar(name: str, value: np.ndarray) -> Any:
    if value.size != 1:
        raise RopesimError(f"shape of {name}", value.shape, "use a single value")
    return value.item()


def _read_safetensors(path: Path) -> dict[str, Any]:
    safe_open = _safetensors().safe_open
    try:
        with safe_open(path, framework="np") as file:
            arrays = {name: _tensor(file, name) for name in ARRAYS if name in file.keys()}
            strings = file.metadata() or {}
    except RopesimError:
        raise
    except Exception as error:
        raise _damaged("file", error) from error
    return arrays | {name: _parsed(name, strings[name]) for name in PARSERS if name in strings}


def _tensor(file: Any, name: str) -> np.ndarray:
    kind = file.get_slice(name).get_dtype()
    if kind.startswith(("BF", "F4", "F6_", "F8")):     # NumPy has no such numbers
        raise RopesimError(f"dtype of {name}", kind, "convert it to float32 before saving")
    return np.asarray(file.get_tensor(name))


def _parsed(name: str, string: str) -> Any:
    try:
        return PARSERS[name](string)
    except ValueError:
        raise RopesimError(name, string, f"write the metadata string of a {PARSERS[name].__name__}") from None


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise RopesimError("package", "safetensors", 'install it (extra "captures") or use an .npz file') from None
    return safetensors


def _write_npz(file: BinaryIO, arrays: dict[str, np.ndarray], scalars: dict[str, Any]) -> None:
    fields: dict[str, Any] = {**arrays, **scalars}
    np.savez(file, **fields)


def _write_safetensors(file: BinaryIO, arrays: dict[str, np.ndarray], scalars: dict[str, Any]) -> None:
    strings = {name: str(value) for name, value in scalars.items()}
    # through memory: the package's own save_file reports a full disk as an error of the format
    file.write(_safetensors().numpy.save(arrays, metadata=strings))


FORMATS = {".npz": (_read_npz, _write_npz), ".safetensors": (_read_safetensors, _write_safetensors)}


def _format(path: Path) -> tuple[Callable[[Path], dict[str, Any]], Callable[..., None]]:
    if path.suffix not in FORMATS:
        raise RopesimError("suffix of the file", path.suffix, f"use {' or '.join(FORMATS)}")
    return FORMATS[path.suffix]
