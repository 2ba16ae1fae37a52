"""Stacks of attention layers, described by a few numbers: both wings read these, neither is needed here."""

from dataclasses import dataclass, field

from .errors import RopesimError, number, whole

WIDEST = 16.0      # largest tau, and
FARTHEST = 500.0   # largest |margin|, whose exponentials doubles hold
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

    layers >= 0, heads >= 1, length and width >= 2: L, H, T, d; value >= 0: factor on key 0's value; rho: from 0 to 1,
    cosine between any two tokens at first; gain >= 0; norm: "pre", "post" or "none"; head_norm: each head's aggregated
    values are scaled to norm 1. Raises RopesimError otherwise.

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
        whole("layers", self.layers, least=0)
        whole("heads", self.heads, least=1)
        for name in ("length", "width"):                 # cosines are those of pairs, rho needs a direction of its own
            whole(name, getattr(self, name), least=2)
        for name in ("window", "document"):
            whole(name, getattr(self, name), least=0)
        for position in self.alone:
            whole("alone", position, least=0, most=self.length - 1)
        for name in ("shared", "head_norm"):
            if not isinstance(getattr(self, name), bool):
                raise RopesimError(name, getattr(self, name), "use true or false")
        number("value", self.value, least=0)
        number("rho", self.rho, least=0, most=1)
        number("gain", self.gain, least=0)
        _one_of("norm", self.norm, NORMS)


@dataclass(frozen=True, kw_only=True)
class Chain:
    """One layer, its feed-forward and the next layer's scores: how variance at a position becomes a sink there.

    length, width, subspace >= 1: T, d and the coordinates of higher variance, fewer than d - 1; mean >= 0: of a value,
    per coordinate outside the subspace and the channel; residual >= 0: standard deviation per coordinate; spread > 0:
    standard deviation of the values in the subspace, 1 outside; amplification >= 0: of the super neurons; lock: of the
    queries; at: position of the intervention; factor >= 0: lambda. Raises RopesimError otherwise.

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
            whole(name, getattr(self, name), least=1)
        if self.subspace > self.width - 2:
            raise RopesimError("subspace", self.subspace, f"use at most width - 2 = {self.width - 2}")
        for name in ("mean", "residual", "amplification", "factor"):
            number(name, getattr(self, name), least=0)
        number("spread", self.spread, above=0)
        number("lock", self.lock)
        whole("at", self.at, least=0, most=self.length - 1)
        if self.intervene is not None:
            _one_of("intervene", self.intervene, INTERVENTIONS)
        if self.intervene in ("amplify", "scale") and self.factor == self.residual == 0:
            raise RopesimError("factor", self.factor, "use one above 0: with no residual the state is 0")


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise RopesimError(name, value, f"use one of {', '.join(known)}")
