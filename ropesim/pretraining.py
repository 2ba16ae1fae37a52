"""Small transformers trained from scratch with and without head-wise RMSNorm, on made texts. Extra `train`.

`python -m ropesim.pretraining OUT.json` trains all of `SETTINGS`: the figures of docs/headnorm.md. NumPy draws the
texts and the first weights, and measures; torch differentiates. Positions count from 0.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .errors import RopesimError, number, whole
from .patterns import sink_metric
from .schedules import default
from .simulate import depth
from .sources import Source, backcopy, draw, ideal, topics

TASKS: dict[str, Callable[[int, np.random.Generator], Source]] = {"topics": topics, "backcopy": backcopy}
EPSILON = 1e-6                              # of all norms
FIRST, DECAY, BETAS, CLIP, WARM = 0.02, 0.1, (0.9, 0.95), 1.0, 0.05
POINTS, HELD_OUT, LANGUAGE = 20, 128, 0     # points of a curve, texts never trained on, seed of the texts' source
SINK = 0.3                                  # epsilon of the sink metric
SEEDS = range(1, 5)                         # of `main`


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One comparison: a task, the size of the model and the budget, the same for both arms and all seeds.

    task: "topics" or "backcopy"; layers, heads >= 1; width: a multiple of 2 heads; length >= 2 and vocabulary >= 8
    tokens; batch, steps >= 1; rate > 0: largest learning rate. The feed-forward has 2 width neurons. Raises
    RopesimError otherwise.

    >>> Setting(task="topics").width
    48
    """

    task: str
    layers: int = 2
    heads: int = 4
    width: int = 48
    length: int = 64
    vocabulary: int = 64
    batch: int = 16
    steps: int = 1000
    rate: float = 3e-3

    def __post_init__(self) -> None:
        if self.task not in list(TASKS):
            raise RopesimError("task", self.task, f"use {' or '.join(TASKS)}")
        for name, least in (("layers", 1), ("heads", 1), ("length", 2), ("vocabulary", 8), ("batch", 1), ("steps", 1)):
            whole(name, getattr(self, name), least=least)
        if whole("width", self.width, least=2) % (2 * self.heads):
            raise RopesimError("width", self.width, f"use a multiple of {2 * self.heads}, an even size for each head")
        number("rate", self.rate, above=0)


_SMALL: dict[str, Any] = {"layers": 2, "heads": 2, "width": 32, "length": 32, "batch": 32}
_LARGE: dict[str, Any] = {"layers": 3, "heads": 4, "width": 64, "length": 64, "batch": 16}
SETTINGS = {
    "topics, small": Setting(task="topics", steps=800, rate=5e-3, **_SMALL),
    "topics, large": Setting(task="topics", steps=800, rate=5e-3, **_LARGE),
    "backcopy, small": Setting(task="backcopy", steps=1200, rate=5e-3, **_SMALL),
    "backcopy, small, low rate": Setting(task="backcopy", steps=1200, rate=1.5e-3, **_SMALL),
    "backcopy, small, high rate": Setting(task="backcopy", steps=1200, rate=1.5e-2, **_SMALL),
    "backcopy, small, long": Setting(task="backcopy", steps=2400, rate=5e-3, **_SMALL),
    "backcopy, large": Setting(task="backcopy", steps=1200, rate=5e-3, **_LARGE),
}


# Measures

def effective_rank(x: np.ndarray) -> float:
    """Exponential of the entropy of the singular values' shares, from 1 to min(n, d).

    x: float[n, d], not zero; rows are not centred. Raises RopesimError otherwise.
    Source: Roy and Vetterli 2007; that Li et al. 2026 (2605.06611) mean this one is assumed.

    >>> round(effective_rank(np.diag([2.0, 2.0, 0.0])), 12)
    2.0
    """
    if np.ndim(x) != 2 or not np.any(x):
        raise RopesimError("x", np.shape(x), "use a matrix that is not zero")
    values = np.linalg.svd(x, compute_uv=False)
    share = values[values > 0] / values.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def variance_ratio(o: np.ndarray) -> float:
    """Variance of position 0 over that of the last, each the mean over coordinates of the variance over texts.

    o: float[texts, T, ...], two texts or more, not all alike at the last position. Raises RopesimError otherwise.
    Uniform rows over independent values give T (C-sinks-variance).
    Source: the variance discrepancy of Li et al. 2026 (2605.06611), their section on aggregation.

    >>> variance_ratio(np.array([[[2.0], [1.0]], [[-2.0], [-1.0]]]))
    4.0
    """
    if np.ndim(o) < 2 or len(o) < 2:
        raise RopesimError("shape of o", np.shape(o), "use values of two texts or more")
    first, last = (float(np.var(o[:, i], axis=0).mean()) for i in (0, -1))
    if last == 0:
        raise RopesimError("variance of the last position", last, "use texts that differ there")
    return first / last


class Trace(NamedTuple):
    """A layer on N texts: states after it [N, T, d], scores [N, H, T, T], aggregated values, no norm [N, T, H, dh]."""

    x: Any
    scores: Any
    o: Any


def measured(text: Sequence[Trace], noise: Sequence[Trace]) -> list[dict[str, Any]]:
    """What the page tells about each layer, from arrays: traces of held-out texts, and of uniformly random tokens.

    rank: `effective_rank` of all states; dominance: mean dominance ratio (D-measures) of position 0, and of the rest;
    variance: `variance_ratio` of the aggregated values of the random tokens, before any head-wise norm;
    received: mean score of key 0 over all rows, by head; sink: share of the heads in which that is above 0.3.

    >>> one = Trace(np.eye(4).reshape(2, 2, 4), np.full((2, 1, 2, 2), 0.5), np.arange(8.0).reshape(2, 2, 1, 2))
    >>> measured([one], [one])[0]["received"]
    [0.5]
    """
    return [_measured(*both) for both in zip(text, noise, strict=True)]


def _measured(text: Trace, noise: Trace) -> dict[str, Any]:
    states = np.asarray(text.x, np.float64).reshape(-1, text.x.shape[-1])
    ratio = depth.measures(states).dominance.reshape(text.x.shape[:2]).mean(axis=0)
    received = text.scores[..., 0].mean(axis=(0, 2), dtype=np.float64)
    return {"rank": effective_rank(states), "dominance": float(ratio[0]), "dominance_rest": float(ratio[1:].mean()),
            "variance": variance_ratio(np.asarray(noise.o, np.float64)), "received": received.tolist(),
            "sink": sink_metric(received, SINK)}


# The model

def first_weights(setting: Setting, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Weights before training, float32 by name: scales 1, the others N(0, 0.02^2).

    What writes to the residual is smaller by sqrt(2 layers). Both arms start from the same numbers: the head-wise
    scale, one number per coordinate of a head, is there in both.

    >>> first_weights(Setting(task="topics"), np.random.default_rng(0))["1.down"].shape
    (96, 48)
    """
    d, out = setting.width, FIRST / np.sqrt(2 * setting.layers)
    shapes = {"embed": (setting.vocabulary, d, FIRST), "unembed": (d, setting.vocabulary, FIRST)}
    for layer in range(setting.layers):
        shapes |= {f"{layer}.attention": (d, 3 * d, FIRST), f"{layer}.output": (d, d, out),
                   f"{layer}.feed": (d, 4 * d, FIRST), f"{layer}.down": (2 * d, d, out)}
    weights = {name: rng.normal(0, size, (n, m)).astype(np.float32) for name, (n, m, size) in shapes.items()}
    scales = {"scale": d} | {f"{layer}.{name}": size for layer in range(setting.layers)
                             for name, size in (("before", d), ("between", d), ("head", d // setting.heads))}
    return weights | {name: np.ones(size, np.float32) for name, size in scales.items()}


def run(weights: Mapping[str, Any], tokens: Any, *, heads: int,    # needs extra
        head_norm: bool) -> tuple[Any, list[Trace]]:
    """Logits [N, T, V] and a trace of each layer, all torch tensors of the weights' dtype: the layers of (D-layer).

    weights: tensors under the names of `first_weights`; tokens: int64[N, T]. RoPE of base 10^4 in the layout "half".
    Raises RopesimError for tokens of another shape, and without torch.

    >>> run({}, np.zeros(3), heads=1, head_norm=True)
    Traceback (most recent call last):
    ropesim.errors.RopesimError: shape of tokens = (3,): use texts of equal length, [texts, tokens]
    """
    if len(tokens.shape) != 2:
        raise RopesimError("shape of tokens", tuple(tokens.shape), "use texts of equal length, [texts, tokens]")
    torch = _torch()
    x, length, traces = weights["embed"][tokens], tokens.shape[1], []
    size = x.shape[-1] // heads
    angle = np.arange(length)[:, None, None] * default(size, 1e4)
    cos, sin = (torch.from_numpy(wave(angle)).to(x) for wave in (np.cos, np.sin))
    hidden = torch.full((length, length), -np.inf, dtype=x.dtype).triu(1)
    for layer in range(sum(name.endswith(".down") for name in weights)):
        w = {name: weights[f"{layer}.{name}"] for name in ("attention", "output", "feed", "down", "before", "between",
                                                           "head")}
        q, k, v = (_rms(torch, x) * w["before"] @ w["attention"]).unflatten(-1, (3, heads, size)).unbind(2)
        q, k = (_turned(torch, z, cos, sin) for z in (q, k))
        logits = torch.einsum("nihc,njhc->nhij", q, k) / size ** 0.5
        scores = torch.softmax(logits + hidden, dim=-1)
        o = torch.einsum("nhij,njhc->nihc", scores, v)
        x = x + (_rms(torch, o) * w["head"] if head_norm else o).flatten(2) @ w["output"]
        gate, up = (_rms(torch, x) * w["between"] @ w["feed"]).chunk(2, dim=-1)
        x = x + (torch.nn.functional.silu(gate) * up) @ w["down"]
        traces.append(Trace(x, scores, o))
    return _rms(torch, x) * weights["scale"] @ weights["unembed"], traces


def _rms(torch: Any, x: Any) -> Any:    # needs extra
    return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + EPSILON)


def _turned(torch: Any, z: Any, cos: Any, sin: Any) -> Any:    # needs extra
    a, b = z.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise RopesimError("torch", None, "training needs the extra `train`: python -m pip install torch") from None
    return torch    # needs extra


# Training

def train(setting: Setting, *, seed: int, head_norm: bool) -> dict[str, Any]:    # needs extra
    """Train one model and measure it: curves, layers (`measured`) and CPU seconds, all as plain numbers for JSON.

    seed >= 1: of first weights and training texts; the source of the texts and those held out come from seed 0, the
    same for all, and both arms see the same texts in the same order. train[p] is the mean loss over the steps since
    the point before steps[p], val[p] the loss of the held-out texts then, nats. AdamW (betas .9, .95; decay 0.1 of
    matrices; gradients cut at norm 1), 5 % of the steps to warm up, then a cosine to 0. Raises RopesimError for a bad
    seed, and without torch.

    >>> train(Setting(task="topics"), seed=0, head_norm=True)
    Traceback (most recent call last):
    ropesim.errors.RopesimError: seed = 0: use a whole number from 1 on
    """
    rng, torch = np.random.default_rng(whole("seed", seed, least=1)), _torch()
    source, held_out = texts(setting)
    held, started = torch.from_numpy(held_out), time.process_time()
    weights = {name: torch.from_numpy(w).requires_grad_() for name, w in first_weights(setting, rng).items()}
    moved = [w for name, w in weights.items() if head_norm or not name.endswith("head")]
    optimizer = torch.optim.AdamW([{"params": [w for w in moved if w.ndim > 1], "weight_decay": DECAY},
                                   {"params": [w for w in moved if w.ndim == 1], "weight_decay": 0.0}],
                                  betas=BETAS, fused=True)
    losses, steps, curve = [], points(setting.steps), []
    for step, rate in enumerate(rates(setting), start=1):
        tokens = torch.from_numpy(draw(source, setting.batch, setting.length, rng))
        loss = _loss(torch, run(weights, tokens, heads=setting.heads, head_norm=head_norm)[0], tokens)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(moved, CLIP)
        optimizer.step()
        losses.append(loss.item())
        if step in steps:
            with torch.no_grad():
                logits, traces = run(weights, held, heads=setting.heads, head_norm=head_norm)
                curve.append(_loss(torch, logits, held).item())
    with torch.no_grad():
        noise = torch.from_numpy(np.random.default_rng(LANGUAGE).integers(setting.vocabulary, size=held_out.shape))
        both = traces, run(weights, noise, heads=setting.heads, head_norm=head_norm)[1]
    layers = measured(*([Trace(*(part.numpy() for part in trace)) for trace in some] for some in both))
    means = [float(np.mean(part)) for part in np.split(losses, steps)[:-1]]
    return {"head_norm": head_norm, "seed": seed, "steps": steps, "train": means, "val": curve, "layers": layers,
            "seconds": time.process_time() - started}


def texts(setting: Setting) -> tuple[Source, np.ndarray]:
    """The source of a setting's texts and the 128 texts that are held out, int64[128, T].

    >>> texts(Setting(task="backcopy"))[1].shape
    (128, 64)
    """
    rng = np.random.default_rng(LANGUAGE)
    source = TASKS[setting.task](setting.vocabulary, rng)
    return source, draw(source, HELD_OUT, setting.length, rng)


def points(steps: int) -> list[int]:
    """At most 20 steps, evenly spread up to the last, at which a curve has its points.

    >>> points(40)[:3], points(3)
    ([2, 4, 6], [1, 2, 3])
    """
    return sorted({int(x) for x in np.linspace(0, steps, POINTS + 1).round()} - {0})


def rates(setting: Setting) -> np.ndarray:
    """Learning rate of each step, float64[steps].

    >>> rates(Setting(task="topics", steps=100, rate=1.0)).round(2)[[0, 4, 5, 99]]
    array([0.2 , 1.  , 0.99, 0.  ])
    """
    step = np.arange(setting.steps)
    rise, fall = (step + 1) / max(WARM * setting.steps, 1), (1 + np.cos(np.pi * step / setting.steps)) / 2
    return setting.rate * np.minimum(rise, fall)


def _loss(torch: Any, logits: Any, tokens: Any) -> Any:    # needs extra
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


def main(arguments: list[str]) -> None:    # needs extra
    """Train every setting with every seed, both arms in turn, on one thread, and write the JSON that the page reads.

    >>> main([])
    Traceback (most recent call last):
    ropesim.errors.RopesimError: arguments = []: say where to write: python -m ropesim.pretraining OUT.json
    """
    if len(arguments) != 1:
        raise RopesimError("arguments", arguments, "say where to write: python -m ropesim.pretraining OUT.json")
    torch = _torch()
    torch.set_num_threads(1)
    runs = []
    for seed in SEEDS:
        for name, setting in SETTINGS.items():
            for head_norm in (False, True):
                runs.append({"setting": name} | train(setting, seed=seed, head_norm=head_norm))
                print(f"{name}, seed {seed}, {'HeadNorm' if head_norm else 'softmax'}: {runs[-1]['val'][-1]:.4f} nats, "
                      f"{runs[-1]['seconds']:.0f} s", flush=True)
    about = {name: asdict(setting) | {"ideal": float(ideal(*texts(setting)).mean())}
             for name, setting in SETTINGS.items()}
    found = json.loads(json.dumps({"torch": torch.__version__, "settings": about, "runs": runs}),
                       parse_float=lambda text: float(f"{float(text):.5g}"))
    Path(arguments[0]).write_text(json.dumps(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
