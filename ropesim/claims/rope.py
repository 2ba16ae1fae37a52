"""Claims about RoPE itself and its variants: the exact identities. Decay, context and rounding are beside it."""

import numpy as np
import sympy
from hypothesis import strategies as st

from .. import bands, schedules
from ..predict import attention as predicted
from ..simulate import attention as simulated
from . import rope_context, rope_lags, rope_precision
from .claim import PROVED, Claim, Control, Identity, Simulation
from .proofs import every, zero

seeds, positions = st.integers(0, 2 ** 32 - 1), st.integers(0, 1 << 16)
near = st.integers(0, 255)
bases = st.floats(10.0, 1e7)
factors = st.floats(1.1, 64.0)
PAIRS = 8
DIM = 2 * PAIRS


def _rotated(x: np.ndarray, theta: np.ndarray, position: int) -> np.ndarray:
    return x * np.exp(1j * theta * position)


def _drawn(seed: int, pairs: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    q, k = rng.normal(size=(2, pairs, 2)).view(np.complex128)[..., 0]
    return q, k


def _geometric(base: float) -> np.ndarray:
    return base ** (-np.arange(PAIRS) / PAIRS)


def _logit(q: np.ndarray, k: np.ndarray) -> float:
    return float((q * k.conj()).sum().real)


def _turn(x: sympy.Expr, y: sympy.Expr, angle: sympy.Expr) -> sympy.Matrix:
    return sympy.Matrix([x * sympy.cos(angle) - y * sympy.sin(angle), x * sympy.sin(angle) + y * sympy.cos(angle)])


# Relative shift

def _shift(seed: int, base: float, i: int, j: int, shift: int) -> tuple[float, float]:
    q, k = _drawn(seed, PAIRS)
    theta = _geometric(base)
    return (_logit(_rotated(q, theta, i), _rotated(k, theta, j)),
            _logit(_rotated(q, theta, i + shift), _rotated(k, theta, j + shift)))


def _prove_shift() -> str:
    a, b, c, d, one, two, moved = sympy.symbols("a b c d alpha beta sigma", real=True)      # theta i, theta j, theta s
    shifted = _turn(a, b, one + moved).T * _turn(c, d, two + moved)
    difference = sympy.expand(sympy.expand_trig((shifted - _turn(a, b, one).T * _turn(c, d, two))[0]))
    return zero(sympy.expand(difference.subs(sympy.sin(moved) ** 2, 1 - sympy.cos(moved) ** 2)))


def _tie_shift() -> float:
    """The logit of one pair, as two rotated vectors, against the library's amplitude and phase."""
    a, b, c, d, i, j, theta = sympy.symbols("a b c d i j theta", real=True)
    logit = sympy.lambdify((a, b, c, d, i, j, theta), (_turn(a, b, theta * i).T * _turn(c, d, theta * j))[0])
    worst = 0.0
    for point in ((1.0, 2.0, -0.5, 0.3, 9, 2, 0.3), (0.2, -1.0, 0.7, 1.1, 500, 17, 1e-3)):
        q, k, lag = complex(*point[:2]), complex(*point[2:4]), int(point[4] - point[5])
        amplitude, phase = np.array([abs(q) * abs(k)]), np.angle([q]) - np.angle([k])
        ours = predicted.pair_logits(amplitude, phase, np.array([point[6]]), lag)[0]
        worst = max(worst, abs(float(logit(*point)) / ours - 1))
    return worst


# Norm and composition

def _norm(seed: int, base: float, position: int, factor: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    q, _ = _drawn(seed, PAIRS)
    return np.abs(factor * q * simulated.rotation(position + 1, _geometric(base))[-1]), np.abs(q)


def _prove_norm() -> str:
    a, b, angle = sympy.symbols("a b phi", real=True)
    return zero((_turn(a, b, angle).T * _turn(a, b, angle))[0] - a ** 2 - b ** 2)


def _composed(seed: int, base: float, i: int, j: int) -> tuple[np.ndarray, np.ndarray]:
    q, _ = _drawn(seed, PAIRS)
    turn = simulated.rotation(i + j + 1, _geometric(base))
    return q * turn[i] * turn[j], q * turn[i + j]


def _mixed_layouts(seed: int, base: float, i: int, j: int) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(seed).normal(size=DIM)
    theta = _geometric(base)
    once = bands.unpair(_rotated(bands.pair(x, "half"), theta, i), "half")
    twice = bands.unpair(_rotated(bands.pair(once, "interleaved"), theta, j), "interleaved")
    return twice, bands.unpair(_rotated(bands.pair(x, "half"), theta, i + j), "half")


def _prove_composition() -> str:
    a, b, one, two = sympy.symbols("a b alpha beta", real=True)                              # theta i, theta j
    once = _turn(a, b, two)
    return zero(sympy.expand_trig(_turn(once[0], once[1], one) - _turn(a, b, one + two)))


# Layouts

def _permutation(pairs: int) -> np.ndarray:
    """Where the half-split coordinates lie among the interleaved ones."""
    return np.concatenate([np.arange(0, 2 * pairs, 2), np.arange(1, 2 * pairs, 2)])


def _layouts(seed: int, base: float, i: int, j: int, pairs: int, both: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Rotated query and logit of an interleaved head, and of the half-split head with permuted weights."""
    x, y = np.random.default_rng(seed).normal(size=(2, 2 * pairs))
    theta, order = base ** (-np.arange(pairs) / pairs), _permutation(pairs)

    def turn(vector: np.ndarray, position: int, layout: str) -> np.ndarray:
        return bands.unpair(_rotated(bands.pair(vector, layout), theta, position), layout)

    plain = turn(x, i, "interleaved"), turn(y, j, "interleaved")
    other = turn(x[order], i, "half"), turn(y[order] if both else y, j, "half")
    return np.append(plain[0][order], plain[0] @ plain[1]), np.append(other[0], other[0] @ other[1])


def _prove_layouts() -> str:
    def both(pairs: int) -> str:
        angles = sympy.symbols(f"phi:{pairs}", real=True)
        block = sympy.diag(*[sympy.Matrix([[sympy.cos(a), -sympy.sin(a)], [sympy.sin(a), sympy.cos(a)]])
                             for a in angles])
        cos, sin = (sympy.diag(*map(f, angles)) for f in (sympy.cos, sympy.sin))
        half = sympy.Matrix(sympy.BlockMatrix([[cos, -sin], [sin, cos]]))
        order = sympy.Matrix(2 * pairs, 2 * pairs, lambda r, c: int(c == 2 * (r % pairs) + r // pairs))
        return zero(order * block * order.T - half)
    return every(both(pairs) for pairs in (1, 2, 3, 4))


# Interpolation

def _interpolated(base: float, factor: float, position: int) -> tuple[np.ndarray, np.ndarray]:
    return (np.exp(1j * schedules.linear(DIM, base, factor=factor) * (factor * position)),
            np.exp(1j * schedules.default(DIM, base) * position))


def _based(base: float, factor: float, position: int) -> tuple[np.ndarray, np.ndarray]:
    return (np.exp(1j * schedules.default(DIM, base * factor) * (factor * position)),
            np.exp(1j * schedules.default(DIM, base) * position))


def _prove_pi() -> str:
    base, s, i, d, n = sympy.symbols("b s i d n", positive=True)
    theta = base ** (-2 * i / d)
    return zero(theta / s * (s * n) - theta * n)


def _stretched(base: float, factor: float, dim: int) -> tuple[np.ndarray, np.ndarray]:
    share = np.arange(0, dim, 2) / (dim - 2)
    return schedules.ntk(dim, base, factor=factor), schedules.default(dim, base) * factor ** -share


def _prove_ntk() -> str:
    base, s, i, d = sympy.symbols("b s i d", positive=True)
    theta = sympy.exp(-2 * i / (d + 2) * sympy.log(base * s ** ((d + 2) / d)))       # d + 2 dimensions: d > 0
    ratio = sympy.simplify(sympy.expand_log(sympy.log(theta) + 2 * i / (d + 2) * sympy.log(base), force=True))
    ends = ratio.subs(i, 0), ratio.subs(i, d / 2) + sympy.log(s)
    return every([zero(ratio + 2 * i / d * sympy.log(s)), *map(zero, ends)])


def _tie_ntk() -> float:
    base, s, i, d = sympy.symbols("b s i d", positive=True)
    formula = sympy.lambdify((base, s, i, d), base ** (-2 * i / d) * s ** (-2 * i / (d - 2)))
    return max(abs(float(formula(b, t, n, dim)) / schedules.ntk(dim, b, factor=t)[n] - 1)
               for b, t, n, dim in ((1e4, 8.0, 63, 128), (5e5, 4.0, 17, 64), (1e4, 2.0, 0, 16)))


# Softmax of lag logits

def _toeplitz(seed: int, base: float, length: int, causal: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Entropy and score of lag 0, by running sums and from the whole matrix."""
    q, k = _drawn(seed, PAIRS)
    logits = (q * k.conj() * np.exp(1j * np.outer(np.arange(length), _geometric(base)))).sum(axis=1).real
    w = np.exp(logits)
    z = np.cumsum(w) if causal else np.full(length, w.sum())
    running = np.log(z) - np.cumsum(w * logits) / z
    lag = np.subtract.outer(np.arange(length), np.arange(length))
    dense = np.where(lag >= 0, np.exp(logits[np.abs(lag)]), 0.0)
    dense /= dense.sum(axis=1, keepdims=True)
    entropy = -(dense * np.log(np.where(dense > 0, dense, 1.0))).sum(axis=1)
    return np.concatenate([running, w[0] / z]), np.concatenate([entropy, dense.diagonal()])


def _prove_toeplitz() -> str:
    def entropy(size: int) -> str:
        w, logits = sympy.symbols(f"w:{size}", positive=True), sympy.symbols(f"l:{size}", real=True)
        z = sympy.Add(*w)
        log_z = sympy.Symbol("log_z", real=True)
        direct = -sum(a / z * (x - log_z) for a, x in zip(w, logits))
        return zero(sympy.cancel(direct - log_z + sum(a * x for a, x in zip(w, logits)) / z))
    return every(entropy(size) for size in (2, 3, 4, 5))


LAGS, TOKENS = (0, 1, 2, 5, 17, 40, 63), 64


def _constant() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    q, k = _drawn(7, PAIRS)
    return q, k, _geometric(1e4)


def _predict_slash() -> tuple[np.ndarray, float]:
    q, k, theta = _constant()
    logits = predicted.lag_logits(np.abs(q * k), np.angle(q) - np.angle(k), theta, TOKENS)
    return predicted.slash(logits)[list(LAGS)], float(predicted.rounding(np.abs(q * k), TOKENS))


def _simulate_slash(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    q, k, theta = _constant()
    profile = simulated.profile(np.tile(q, (TOKENS, 1)), np.tile(k, (TOKENS, 1)), theta)
    return profile.slash[list(LAGS)], 0.0


# Attention factor

def _factor(seed: int, i: int, j: int, factor: float, power: int = 2, tail: bool = False) -> tuple[float, float]:
    """Logit of a partial rotary head from tables that hold the factor, and from scaled rotary logits."""
    x, y = np.random.default_rng(seed).normal(size=(2, 12))
    head = bands.geometric(12, 1e4, rotary_dim=8)
    scaled = bands.custom(head.theta, rotary_dim=8, attention_factor=factor)
    cos, sin = bands.as_implemented(scaled, [i, j], freq_dtype="float64", angle_dtype="float64", table_dtype="float64")
    q, k = bands.pair(x, "half", rotary_dim=8), bands.pair(y, "half", rotary_dim=8)
    by_table = _logit(q * (cos + 1j * sin)[0], k * (cos + 1j * sin)[1])
    pairs = (q * k.conj() * np.exp(1j * (i - j) * head.theta)).real
    times = np.where((head.theta != 0) | tail, factor ** power, 1.0)
    return by_table, float((times * pairs).sum())


def _prove_factor() -> str:
    a, b, c, d, e, f, t, one, two = sympy.symbols("a b c d e f t alpha beta", real=True)
    rotary = (t * _turn(a, b, one)).T * (t * _turn(c, d, two))
    return zero(sympy.expand(rotary[0] + e * f - t ** 2 * (_turn(a, b, one).T * _turn(c, d, two))[0] - e * f))


SHIFT = {"seed": seeds, "base": bases, "i": positions, "j": positions, "shift": positions}
TURN = {"seed": seeds, "base": bases, "position": near}
TURNS = {"seed": seeds, "base": bases, "i": near, "j": near}
LAYOUT = {"seed": seeds, "base": bases, "i": positions, "j": positions, "pairs": st.integers(2, 8)}
STRETCH = {"base": bases, "factor": factors, "position": st.integers(0, 4096)}
NTK = {"base": bases, "factor": factors, "dim": st.sampled_from((4, 8, 16, 64, 128))}
TOEPLITZ = {"seed": seeds, "base": bases, "length": st.integers(2, 24)}
FACTOR = {"seed": seeds, "i": near, "j": near, "factor": st.floats(1.05, 2.0)}

IDENTITIES = (
    Claim(
        id="rope-shift", source="Su et al. 2021 (2104.09864), section 3.2.2, eq. 11-16", label="C-rope-shift",
        title="A rotary logit depends on the relative position alone",
        statement=r"\langle R_i q, R_j k\rangle = \langle R_{i+s}\, q, R_{j+s}\, k\rangle",
        assumes="any frequencies, real positions", expected=PROVED, note="rope.md 3.7",
        prove=_prove_shift, holds=Identity(SHIFT, _shift), tie=_tie_shift,
        control=Control("a shift of the query alone", Identity(SHIFT, lambda seed, base, i, j, shift: (
            _shift(seed, base, i, j, 0)[0], _shift(seed, base, i + shift, j, 0)[0])))),
    Claim(
        id="rope-norm", source="Su et al. 2021 (2104.09864), section 3.2.2, eq. 15", label="C-rope-norm",
        title="RoPE keeps the length of every pair",
        statement=r"|(R_i x)_b| = |x_b|", assumes="attention factor 1", expected=PROVED, note="rope.md 3.7",
        prove=_prove_norm, holds=Identity(TURN, _norm),
        control=Control("tables that hold an attention factor of 1.1", Identity(TURN, lambda seed, base, position: (
            _norm(seed, base, position, 1.1))))),
    Claim(
        id="rope-composition", source="Su et al. 2021 (2104.09864), section 3.2.2, eq. 14-16",
        label="C-rope-composition", title="Two rotations are one by the sum of the positions",
        statement=r"R_i R_j = R_{i+j}", assumes="one layout throughout, real positions", expected=PROVED,
        note="rope.md 3.7", prove=_prove_composition, holds=Identity(TURNS, _composed),
        control=Control("the second rotation in the other layout", Identity(TURNS, _mixed_layouts))),
    Claim(
        id="rope-layouts", source="GPT-NeoX's code (half-split) and Su et al. 2021 (2104.09864), eq. 15 (interleaved)",
        label="C-rope-layouts", title="The two layouts differ by a permutation of query and key coordinates",
        statement=r"P\, R^{\mathrm{interleaved}}_i P^{T} = R^{\mathrm{half}}_i,\quad"
                  r" \langle q, k\rangle = \langle Pq, Pk\rangle",
        assumes="proved for 1 to 4 pairs", expected=PROVED, note="rope.md 3.7; users: rope.md 4, U2",
        prove=_prove_layouts, holds=Identity(LAYOUT, _layouts),
        control=Control("permuted queries with keys as they were", Identity(LAYOUT, lambda seed, base, i, j, pairs: (
            _layouts(seed, base, i, j, pairs, False))))),
    Claim(
        id="rope-pi", source="Chen et al. 2023 (2306.15595), section 2.3, eq. 4", label="C-rope-pi",
        title="Interpolated positions: position s n under factor s is position n without",
        statement=r"\theta' = \theta / s \;\Rightarrow\; e^{\mathrm{i}\theta' s n} = e^{\mathrm{i}\theta n}",
        assumes="s > 0", expected=PROVED, note="rope.md 3.7",
        prove=_prove_pi, holds=Identity(STRETCH, _interpolated),
        control=Control("a base multiplied by s instead", Identity(STRETCH, _based))),
    Claim(
        id="rope-ntk", source="Peng et al. 2023 (2309.00071), section 3.1, after bloc97", label="C-rope-ntk",
        title="NTK-aware scaling divides the slowest pair by s and leaves the fastest",
        statement=r"b' = b\, s^{d/(d-2)} \;\Rightarrow\; \theta'_i / \theta_i = s^{-2i/(d-2)}",
        assumes="d >= 4; i = 0 keeps its frequency, i = d/2 - 1 is divided by s exactly", expected=PROVED,
        note="rope.md 2.2, 3.7", prove=_prove_ntk, holds=Identity(NTK, _stretched), tie=_tie_ntk,
        control=Control("base' = base s", Identity(NTK, lambda base, factor, dim: (
            schedules.default(dim, base * factor), _stretched(base, factor, dim)[1])))),
    Claim(
        id="rope-toeplitz", source="rope.md 3.7; the causal softmax of Su et al. 2021 (2104.09864), constant q and k",
        label="C-rope-toeplitz", title="Scores and entropies of a constant head are running sums",
        statement=r"S_{i,i-n} = w_n / Z_i,\quad Z_i = \sum_{n \leq i} w_n,\quad"
                  r" H_i = \log Z_i - \frac{1}{Z_i}\sum_{n \leq i} w_n \log w_n",
        assumes="queries and keys the same at every token, causal mask; entropy proved for rows of 2 to 5 keys",
        expected=PROVED, note="rope.md 3.7; the library's own is (A-softmax)",
        prove=_prove_toeplitz, holds=Identity(TOEPLITZ, _toeplitz),
        simulate=Simulation(LAGS, "lag (tokens)", "average slash score", _predict_slash, _simulate_slash),
        control=Control("every row divided by the last row's sum", Identity(TOEPLITZ, lambda seed, base, length: (
            _toeplitz(seed, base, length, False))))),
    Claim(
        id="rope-factor", source="Peng et al. 2023 (2309.00071), section 3.4", label="E-factor",
        title="A factor a on cos and sin multiplies the rotary logits by its square",
        statement=r"\langle a R_i q,\, a R_j k\rangle = a^2 \langle R_i q, R_j k\rangle",
        assumes="the rotary pairs alone: the tail of a partial rotary head keeps its logits", expected=PROVED,
        note="rope.md 3.7", prove=_prove_factor, holds=Identity(FACTOR, _factor),
        control=Control("logits times a, not its square", Identity(FACTOR, lambda seed, i, j, factor: (
            _factor(seed, i, j, factor, 1))))),
)

CLAIMS = IDENTITIES + rope_lags.CLAIMS + rope_context.CLAIMS + rope_precision.CLAIMS
