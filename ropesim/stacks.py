"""Stacks of attention layers, described by a few numbers: both wings read these, neither is needed here."""

import math
from dataclasses import dataclass, field

from .errors import RopesimError, number, whole

WIDEST = 16.0      # largest tau, and
FARTHEST = 500.0   # largest |margin|, whose exponentials doubles hold
STEEPEST = 1000.0  # largest |lock| sqrt(d), nats whose histogram is fine enough
MOST = 10 ** 9     # of layers, heads, tokens and coordinates
WIDE = 1 << 15     # of a chain's coordinates
FACTOR = 1e6       # largest of the factors and standard deviations, and
SMALL = 1e-6       # the least of those that nothing may be without
GROWTH = 300.0     # ln of a squared norm whose square doubles hold
HOURS, GIGABYTES = 1.0, 4.0     # most that drawing and predicting one of these may take
KINDS = ("softmax", "sigmoid", "softmax-plus-one")
NORMS = ("pre", "post", "none")
INTERVENTIONS = ("mask", "amplify", "scale", "headnorm")


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Scores that know nothing of the tokens: i.i.d. normal logits of the keys a row sees, perhaps a sink at key 0.

    tau: from 0 to 16, standard deviation of the logits (0: uniform); mass: from 0 to 1, share of key 0 in every row
    that sees it and another key; margin: from -500 to 500, nats by which key 0's logit exceeds the log of the expected
    exponential of the others (one of the two, or none); kind: softmax, sigmoid (of the logit
    less the log of the keys seen) or softmax-plus-one. Raises RopesimError otherwise.

        logit(i, 0) = margin + tau^2/2,   logit(i, j) ~ N(0, tau^2)                  (D-rows)

    >>> Rows(mass=0.3).tau
    0.0
    """

    tau: float = 0.0
    mass: float | None = None
    margin: float | None = None
    kind: str = "softmax"

    def __post_init__(self) -> None:
        number("tau", self.tau, least=0, most=WIDEST)
        if self.mass is not None and self.margin is not None:
            raise RopesimError("mass, margin", (self.mass, self.margin), "give one of the two")
        if self.mass is not None:
            number("mass", self.mass, least=0, most=1)
        if self.margin is not None:
            number("margin", self.margin, least=-FARTHEST, most=FARTHEST)
        _one_of("kind", self.kind, KINDS)
        if self.mass is not None and self.kind != "softmax":
            raise RopesimError("mass", self.mass, f"give a margin, the rows of {self.kind} have no fixed sum")


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Layers that add attention over random values to a residual stream; the mask is that of `masks.visible`.

    layers >= 0, heads >= 1, length and width >= 2: L, H, T, d, up to 10^9; value: from 0 to 1e6, factor on key 0's
    value; rho: from 0 to 1, cosine between any two tokens at first; gain: from 0 to 1e6; norm: "pre", "post" or "none";
    head_norm: each head's aggregated values are scaled to norm 1. Raises RopesimError otherwise.

        x' = x + g / sqrt(H) sum_h (A_h V) W_h,   V = x / |x| with "pre", W_h orthogonal and random   (D-stack)

    Source: the Gram recursion of sinks.md R11; head-wise norm, Li et al. 2026 (2605.06611), section 5.1.

    >>> Stack(layers=2).heads
    4
    """

    layers: int = 8
    heads: int = 4
    length: int = 64
    width: int = 64
    rows: Rows = field(default_factory=Rows)
    window: int = 0
    document: int = 0
    shared: bool = False
    alone: tuple[int, ...] = ()
    value: float = 1.0
    rho: float = 0.0
    gain: float = 1.0
    norm: str = "pre"
    head_norm: bool = False

    def __post_init__(self) -> None:
        whole("layers", self.layers, least=0, most=MOST)
        whole("heads", self.heads, least=1, most=MOST)
        for name in ("length", "width"):                 # cosines are those of pairs, rho needs a direction of its own
            whole(name, getattr(self, name), least=2, most=MOST)
        for name in ("window", "document"):
            whole(name, getattr(self, name), least=0, most=MOST)
        if not isinstance(self.alone, tuple):
            raise RopesimError("alone", self.alone, "use a list of positions (in Python a tuple)")
        for position in self.alone:
            whole("alone", position, least=0, most=self.length - 1)
        for name in ("shared", "head_norm"):
            if not isinstance(getattr(self, name), bool):
                raise RopesimError(name, getattr(self, name), "use true or false")
        number("value", self.value, least=0, most=FACTOR)
        number("rho", self.rho, least=0, most=1)
        number("gain", self.gain, least=0, most=FACTOR)
        _one_of("norm", self.norm, NORMS)


@dataclass(frozen=True, kw_only=True)
class Chain:
    """One layer, its feed-forward and the next layer's scores: how variance at a position becomes a sink there.

    length, width, subspace >= 1: T, d and the coordinates of higher variance, fewer than d - 1; mean >= 0: of a value,
    per coordinate outside the subspace and the channel; residual >= 0: standard deviation per coordinate; spread, from
    1e-6: standard deviation of the values in the subspace, 1 outside; amplification >= 0: of the super neurons; lock:
    of the queries, up to 1000 / sqrt(d) either way; at: position of the intervention; factor >= 0: lambda. T up to
    10^9, d up to 2^15, numbers up to 1e6. Raises RopesimError otherwise.

        h_i = o_i + residual e_i,  f_i = amplification sum_{c in subspace} n(h_i)_c^2,
        r_i = n(h_i + f_i e_channel),  logit(i, j) = lock r_{j, channel},  n(x) = x / rms(x)           (D-chain)

    Source: Li et al. 2026 (2605.06611), as modelled in sinks.md R18; spread, amplification and lock are ours.

    >>> Chain(intervene="mask", at=10).factor
    1.0
    """

    length: int = 48
    width: int = 128
    mean: float = 2.0
    residual: float = 1.5
    subspace: int = 8
    spread: float = 3.5
    amplification: float = 0.9
    lock: float = 0.75
    at: int = 0
    intervene: str | None = None
    factor: float = 1.0

    def __post_init__(self) -> None:
        for name in ("length", "width", "subspace"):
            whole(name, getattr(self, name), least=1, most=MOST if name == "length" else WIDE)
        if self.subspace > self.width - 2:
            raise RopesimError("subspace", self.subspace, f"use at most width - 2 = {self.width - 2}")
        for name in ("mean", "residual", "amplification", "factor"):
            number(name, getattr(self, name), least=0, most=FACTOR)
        number("spread", self.spread, least=SMALL, most=FACTOR)
        steepest = STEEPEST / math.sqrt(self.width)
        number("lock", self.lock, least=-steepest, most=steepest)
        whole("at", self.at, least=0, most=self.length - 1)
        if self.intervene is not None:
            _one_of("intervene", self.intervene, INTERVENTIONS)
        if self.intervene in ("amplify", "scale") and self.factor + self.residual < SMALL:
            raise RopesimError("factor", self.factor, "use a larger one: with no residual the state is 0")


def check_cost(drawn: Stack | Chain, samples: int) -> None:
    """Raise RopesimError where predicting this and drawing so many samples takes over an hour of one core, 4 GB, or
    numbers whose squares doubles do not hold.

    samples: of a Stack, or sequences of a Chain. Times are measured ones, right to a factor of three.

    >>> check_cost(Stack(), 64)
    """
    length, width = drawn.length, drawn.width
    if isinstance(drawn, Stack):
        _check_growth(drawn)
        squares = length ** 2 + width ** 2
        numbers = drawn.heads * (drawn.layers + 4) * squares + 10 * length ** 2
        sample = drawn.layers * (3e-4 + drawn.heads * (5e-8 * length ** 2 + 3e-10 * width * squares))
        predicted, entries = drawn.layers * (2e-3 + 2e-6 * length ** 2), (drawn.layers + 1) * length
        name, times = "stack.layers, heads, length, width", "run.samples"
        sizes: tuple[int, ...] = drawn.layers, drawn.heads, length, width
    else:
        numbers, sample, predicted, entries = 320 * length * width, 1.2e-7 * length * width, 6e-3 * length, 3 * length
        name, times, sizes = "chain.length, width", "run.sequences", (length, width)
    room = GIGABYTES * 1e9 / 8 - numbers - 300 * entries              # numbers; 300 is a row that is printed
    enough = int(min((3600 * HOURS - predicted) / max(sample, 1e-4), room / (6 * entries)))
    if enough < 2:
        raise RopesimError(name, sizes, f"use smaller ones, these take over {HOURS:g} hour or {GIGABYTES:g} GB")
    if samples > enough:
        raise RopesimError(times, samples,
                           f"use at most {enough}, or smaller sizes: it takes over {HOURS:g} hour or {GIGABYTES:g} GB")


def _check_growth(stack: Stack) -> None:
    """Without a norm, squared norms grow by up to 1 + (gain times the largest sum of a row)^2 a layer."""
    most = stack.gain * max(stack.value, 1) * (stack.length if stack.rows.kind == "sigmoid" else 1)
    if stack.norm == "none" and not stack.head_norm and stack.layers * math.log1p(most ** 2) > GROWTH:
        raise RopesimError("stack.gain", stack.gain, "use a smaller gain, fewer layers or a norm: overflows")


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise RopesimError(name, value, f"use one of {', '.join(known)}")
