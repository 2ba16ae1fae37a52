"""Claims on q-similarity, and on what it says about attention: Yang et al. 2026 (TAPPA) and its code."""

from typing import Any

import numpy as np
import sympy
from hypothesis import strategies as st

from ..patterns import re_access, sequential
from ..predict import similarity
from ..simulate.attention import rotation, scores
from .claim import CORRECTED, PROVED, Claim, Control, Identity, Inequality, Simulation
from .proofs import every, true, zero

PAPER = "Yang et al. 2026 (2601.21709)"
PAIRS, WINDOW = 8, 32

seeds, lengths = st.integers(0, 2 ** 32 - 1), st.integers(2, 48)
bases, shares = st.floats(10.0, 1e6), st.floats(0.0, 1.0)


def _complex(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=(*shape, 2)).view(np.complex128)[..., 0]


def _theta(base: float, pairs: int = PAIRS) -> np.ndarray:
    return base ** (-np.arange(pairs) / pairs)


def _far(pairs: list[tuple[float, float]]) -> float:
    return max(abs(ours - theirs) / abs(theirs) for ours, theirs in pairs)


def _gram(q: np.ndarray) -> float:
    """Mean cosine between two different queries, from the matrix of all cosines."""
    u = q / np.linalg.norm(q, axis=1, keepdims=True)
    cosines = (u @ u.conj().T).real
    return float((cosines.sum() - np.trace(cosines)) / (len(u) * (len(u) - 1)))


def _softmax(x: np.ndarray) -> np.ndarray:
    weight = np.exp(x - x.max())
    return weight / weight.sum()


# Closed forms

def _constant(seed: int, base: float, length: int, diagonal: float = 0.0) -> tuple[list[float], list[float]]:
    """Before and after RoPE; diagonal: how much of the queries' cosine with themselves is wrongly counted."""
    q, theta = _complex(np.random.default_rng(seed), PAIRS), _theta(base)
    rest = np.tile(q, (length, 1))
    after = similarity.all_pairs(np.abs(q) ** 2, theta, length)
    return ([_gram(rest), _gram(rest * np.exp(1j * theta * np.arange(length)[:, None]))],
            [1.0, after + diagonal * (1 - after) / length])


def _fejer(h: Any, length: Any) -> Any:
    return (sympy.sin(length * h) ** 2 / sympy.sin(h) ** 2 - length) / (length * (length - 1))


def _prove_fejer() -> str:
    """Induction: sin^2(T h) / sin^2 h grows by sin((2T+1) h) / sin h, and that by 2 cos(2 T h); at T = 1 all are 1."""
    h = sympy.Symbol("h", real=True)
    n = sympy.Symbol("n", integer=True, positive=True)
    ratio = sympy.sin((n + 1) * h) ** 2 - sympy.sin(n * h) ** 2 - sympy.sin((2 * n + 1) * h) * sympy.sin(h)
    kernel = sympy.sin((2 * n + 1) * h) - sympy.sin((2 * n - 1) * h) - 2 * sympy.cos(2 * n * h) * sympy.sin(h)
    return every(zero(sympy.expand(sympy.expand(step).rewrite(sympy.exp))) for step in (ratio, kernel))


def _tie_fejer() -> float:
    h, length = sympy.symbols("h T")
    formula = sympy.lambdify((h, length), _fejer(h, length))
    return _far([(float(similarity.fejer(np.array([t]), n)[0]), float(formula(t / 2, n)))
                 for t, n in ((0.3, 32), (1.1, 5), (0.01, 17))])


def _ar1(seed: int, base: float, length: int, kappa: float, rho: float,
         weight: float = 1.0) -> tuple[float, float]:
    """One more than the mean of (kappa + (1 - kappa) rho^|t - t'|) cos over all pairs t, t', and in closed form."""
    energy = np.random.default_rng(seed).random(PAIRS)
    t = np.arange(length)
    apart = np.abs(t[:, None] - t)
    cosines = np.cos(apart[..., None] * _theta(base)) @ (energy / energy.sum())
    expected = (kappa + (1 - kappa) * rho ** apart) * cosines
    seen = (expected.sum() - np.trace(expected)) / (length * (length - 1))
    return 1 + seen, 1 + weight * similarity.all_pairs(energy, _theta(base), length, kappa=kappa, rho=rho)


def _prove_ar1() -> str:
    """Induction: sum_{n<T} (T-n) z^n grows by z + ... + z^T with T, and that by z^{T+1}; at T = 1 they are 0 and z."""
    z, power, length = sympy.symbols("z x T")               # x = z^T

    def total(x: Any, n: Any) -> Any:
        return z * (n * (1 - z) - (1 - x)) / (1 - z) ** 2

    def sums(x: Any) -> Any:
        return z * (1 - x) / (1 - z)
    return every([zero(total(power * z, length + 1) - total(power, length) - sums(power)), zero(total(z, 1)),
                  zero(sums(power * z) - sums(power) - power * z), zero(sums(z) - z)])


def _tie_ar1() -> float:
    z, length = sympy.symbols("z T")
    formula = sympy.lambdify((z, length), 2 * z * (length * (1 - z) - (1 - z ** length))
                             / (length * (length - 1) * (1 - z) ** 2))
    one = np.ones(1)
    return _far([(similarity.all_pairs(one, t * one, n, kappa=0.0, rho=r), float(formula(r * np.exp(1j * t), n).real))
                 for t, n, r in ((0.3, 32, 0.5), (0.0, 17, 0.9), (1.2, 5, -0.7))])


RHOS, KAPPA, TEXTS = (0.0, 0.5, 0.8, 0.95, 0.99), 0.3, 60


def _predicted_ar1() -> tuple[np.ndarray, float]:
    values = [similarity.all_pairs(np.ones(64), _theta(1e4, 64), WINDOW, kappa=KAPPA, rho=rho) for rho in RHOS]
    return np.array(values), similarity.error(np.ones(64), kappa=KAPPA)


def _simulated_ar1(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A mean and an autoregressive rest of equal pairs, after RoPE at base 1e4."""
    turn, found = rotation(WINDOW, _theta(1e4, 64)), []
    for rho in RHOS:
        x = _complex(rng, TEXTS, WINDOW, 64) / np.sqrt(2)
        for t in range(1, WINDOW):
            x[:, t] = rho * x[:, t - 1] + np.sqrt(1 - rho ** 2) * x[:, t]
        found.append([_gram(q * turn) for q in np.sqrt(KAPPA) + np.sqrt(1 - KAPPA) * x])
    return np.mean(found, axis=1), np.std(found, axis=1, ddof=1) / np.sqrt(TEXTS)


def _steps(seed: int, length: int, size: float, turning: bool, neighbours: bool = False) -> tuple[float, float]:
    """1 - s and its bound by the largest step between neighbours; turning: a single pair at a constant rate."""
    rng = np.random.default_rng(seed)
    q = np.cumsum(np.concatenate([_complex(rng, 1, PAIRS), size * _complex(rng, length - 1, PAIRS)]), axis=0)
    if turning:
        q = np.exp(1j * 0.01 * size * np.arange(length)[:, None])
    u = q / np.linalg.norm(q, axis=1, keepdims=True)
    largest = np.linalg.norm(np.diff(u, axis=0), axis=1).max()
    growth = 0.5 if neighbours else length * (length + 1) / 12
    return 1 - _gram(q), largest ** 2 * growth + 1e-14


def _prove_steps() -> str:
    """1 - cos = |u - v|^2 / 2 for unit vectors, and the mean of (t - t')^2 over different tokens is T(T+1)/6."""
    x, y = sympy.symbols("x y", real=True)
    t, s, length = sympy.symbols("t s T", integer=True, positive=True)
    apart = sympy.summation(sympy.summation((t - s) ** 2, (s, 1, length)), (t, 1, length))
    square = (sympy.cos(x) - sympy.cos(y)) ** 2 + (sympy.sin(x) - sympy.sin(y)) ** 2
    return every([zero(1 - sympy.cos(x - y) - square / 2),
                  zero(sympy.expand(apart - length * (length - 1) * length * (length + 1) / 6))])


# What it says about attention

def _massive(massive: float, jump: float, length: int, halved: float = 1.0) -> tuple[list[float], list[float]]:
    """q-similarity, and total variation of two keys' scores: queries (massive, +-jump) in turn, keys (0, +-1)."""
    q = np.stack([np.full(2 * length, massive), jump * (-1.0) ** np.arange(2 * length)], axis=1)
    k = np.array([[0.0, 1.0], [0.0, -1.0]])
    share = massive ** 2 / (massive ** 2 + jump ** 2)
    before, after = (_softmax(k @ x) for x in q[:2])
    return ([_gram(q), float(np.abs(before - after).sum() / 2)],
            [(2 * length * share - 1) / (2 * length - 1), float(np.tanh(halved * jump))])


def _read_high(massive: float, jump: float, length: int) -> tuple[float, float]:
    """Total variation of scores, and one half where the q-similarity is .95 or more."""
    (seen, variation), _ = _massive(massive, jump, length)
    return variation, 0.5 if seen >= 0.95 else 1.0


def _prove_massive() -> str:
    """Scores of the logits +-a swap: tanh a; the sum of T = 2n alternating queries keeps the massive channel alone."""
    a, m = sympy.symbols("a M", positive=True)
    n = sympy.Symbol("n", integer=True, positive=True)
    share, length = m ** 2 / (m ** 2 + a ** 2), 2 * n
    score = sympy.exp(a) / (sympy.exp(a) + sympy.exp(-a))
    total = (length * m) ** 2 / (m ** 2 + a ** 2)          # |sum u|^2
    s = (total - length) / (length * (length - 1))
    return every([zero((2 * score - 1 - sympy.tanh(a)).rewrite(sympy.exp)),
                  zero(s - (length * share - 1) / (length - 1)), zero(sympy.limit(s, m, sympy.oo) - 1)])


JUMPS, TOKENS, MASSIVE = (0.3, 1.0, 2.0, 3.0), 200, 15.0


def _predicted_massive() -> tuple[np.ndarray, float]:
    return np.tanh(np.array(JUMPS)) / 2, 0.0


def _simulated_massive(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Mean total variation between rows two apart: queries (15, +-a) at random, keys in turn; q-similarity over .95."""
    found, theta = [], np.array([1.0, 0.3])
    turn = rotation(TOKENS, theta).conj()         # undoes RoPE: what follows are the vectors after it
    for jump in JUMPS:
        sign = rng.choice([-1.0, 1.0], TOKENS)
        q = np.stack([np.full(TOKENS, MASSIVE), jump * sign], axis=1) * turn
        k = np.stack([np.zeros(TOKENS), (-1.0) ** np.arange(TOKENS)], axis=1) * turn
        rows = scores(q, k, theta)[1::2]          # an even number of keys
        common = [later[:2 * n + 2] / later[:2 * n + 2].sum() for n, later in enumerate(rows[1:])]
        found.append([np.abs(row[:2 * n + 2] - later).sum() / 2 for n, (row, later) in enumerate(zip(rows, common))])
    stderr = [np.tanh(jump) / 2 / np.sqrt(len(changes)) for jump, changes in zip(JUMPS, found)]
    return np.mean(found, axis=1), np.array(stderr)


def _common(seed: int, jump: float, keys: int, apart: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores after and before a jump along what all keys share, each with the largest change of a logit over it."""
    rng = np.random.default_rng(seed)
    k, q = rng.normal(size=(keys, PAIRS)), rng.normal(size=PAIRS)
    k[:, 0] = 1.0 + apart * np.arange(keys)       # the common part
    later = q + jump * np.eye(PAIRS)[0]
    moved = np.abs(k @ later - k @ q).max()
    return np.append(_softmax(k @ later), moved / abs(jump)), np.append(_softmax(k @ q), 1.0)


def _read_low(seed: int, jump: float, keys: int) -> tuple[float, float]:
    """Dissimilarity of two consecutive queries, and a hundred times how far the scores move."""
    q = np.random.default_rng(seed).normal(size=(1, PAIRS))
    after, before = _common(seed, jump, keys)
    two = np.concatenate([q, q + jump * np.eye(PAIRS)[:1]])
    return 1 - _gram(two), 100 * float(np.abs(after[:-1] - before[:-1]).sum() / 2) + 1e-6


def _prove_common() -> str:
    x, shift = sympy.symbols("x1:4", real=True), sympy.Symbol("c", real=True)
    after, before = (sum(sympy.exp(a + move) for a in x) for move in (shift, 0))
    return every(zero(sympy.expand(sympy.exp(a + shift) * before - sympy.exp(a) * after, power_exp=True)) for a in x)


def _periodic(seed: int, length: int, theta: float, vertical: bool = False) -> tuple[list[float], list[float]]:
    """How well rows repeat lag by lag, and the q-similarity before and after RoPE, of a constant head of one pair."""
    q = 3 * _complex(np.random.default_rng(seed), 1)
    rows, turned = np.tile(q, (length, 1)), np.array([theta])
    found = scores(rows, np.ones((length, 1)), turned)
    after = rows * np.exp(1j * turned * np.arange(length)[:, None])
    measure = re_access if vertical else sequential
    return [measure(found), _gram(rows), _gram(after)], [1.0, 1.0, float(similarity.fejer(turned, length)[0])]


def _read_periodic(seed: int, length: int, theta: float) -> tuple[float, float]:
    """Half of the predictability of the pattern, and the similarity after RoPE that should show it."""
    (predictable, _, after), _ = _periodic(seed, length, theta)
    return predictable / 2, after


def _prove_periodic() -> str:
    """Logits repeat along diagonals; where the window holds whole periods the similarity is the least there is."""
    a, b, c, d, theta = sympy.symbols("a b c d theta", real=True)
    i, j = sympy.symbols("i j", integer=True, positive=True)
    turns, length = sympy.symbols("n T", integer=True, positive=True)

    def logit(row: Any, key: Any) -> Any:
        x = theta * (row - key)
        return (a * c + b * d) * sympy.cos(x) - (b * c - a * d) * sympy.sin(x)
    least = _fejer(sympy.pi * turns / length, length)
    return every([zero(sympy.expand(logit(i + 1, j + 1) - logit(i, j))), zero(least + 1 / (length - 1)),
                  true([sympy.Rational(-1, 31) < sympy.Rational(1, 2)])])


INDICES = (0, 4, 8, 16, 24, 32)


def _predicted_periodic() -> tuple[np.ndarray, float]:
    return similarity.fejer(np.array([1e4 ** (-m / 64) for m in INDICES]), WINDOW), 0.0


def _simulated_periodic(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """q-similarity of the last 32 of 512 constant queries after RoPE, one pair of dimension 128 at base 1e4."""
    turned = [rotation(512, np.array([1e4 ** (-m / 64)]))[-WINDOW:] for m in INDICES]
    return np.array([_gram(np.exp(2j * np.pi * rng.random()) * x) for x in turned]), 0.0


CONSTANT = {"seed": seeds, "base": bases, "length": lengths}
AR1 = {**CONSTANT, "kappa": shares, "rho": st.floats(-1.0, 1.0)}
DELTA = {"seed": seeds, "length": lengths, "size": st.floats(0.1, 2.0), "turning": st.booleans()}
HIGH = {"massive": st.floats(0.1, 100.0), "jump": st.floats(0.1, 5.0), "length": st.integers(1, 16)}
LOW = {"seed": seeds, "jump": st.floats(1.0, 400.0), "keys": st.integers(2, 16)}
PERIODIC = {"seed": seeds, "length": st.integers(4, 40), "theta": st.floats(0.3, 3.0)}

CLAIMS = (
    Claim(
        id="tappa-similarity-constant", source=f"{PAPER}, q-similarity; closed form of tappa.md X7", label="A-fejer",
        title="A constant query has similarity 1 before RoPE and Fejer's kernel after it",
        statement=r"s=\sum_b w_b\,\frac{\sin^2(T\theta_b/2)/\sin^2(\theta_b/2)-T}{T(T-1)}",
        assumes="energy shares w_b; the kernel is proved for all T by induction, pairs add up", expected=PROVED,
        note="tappa.md X7: .7069, .7919, .8019 for a flat spectrum of 64 pairs, T = 32 and the bases 1e4, 5e5, 1e6",
        prove=_prove_fejer, tie=_tie_fejer, holds=Identity(CONSTANT, _constant),
        control=Control("Fejer's kernel with its diagonal", Identity(CONSTANT, lambda seed, base, length: _constant(
            seed, base, length, diagonal=1.0)))),
    Claim(
        id="tappa-similarity-ar1", source=f"{PAPER}, q-similarity; closed form of tappa.md X7", label="A-similarity",
        title="Queries with a mean and an autoregressive rest: the expected similarity in closed form",
        statement=r"s=\sum_b w_b[\kappa F_T(\theta_b)+(1-\kappa)\,G_T(\rho e^{i\theta_b})]",
        assumes="the ratio of the means; the cosines of random queries differ by (A-similarity-error) at most, to "
                "leading order. The sum G_T is proved for all T by induction",
        expected=PROVED, note="tappa.md X7: measured and predicted within .003",
        prove=_prove_ar1, tie=_tie_ar1, holds=Identity(AR1, _ar1),
        simulate=Simulation(RHOS, "rho", "q-similarity of 32 queries after RoPE", _predicted_ar1, _simulated_ar1),
        control=Control("all pairs of tokens, the T equal ones among them", Identity(
            AR1, lambda seed, base, length, kappa, rho: _ar1(seed, base, length, kappa, rho, 1 - 1 / length)))),
    Claim(
        id="tappa-similarity-adjacent", source="derived in tappa.md X7, for Yang et al. 2026 (2601.21709)",
        label="P-q-adjacent",
        title="Close neighbours make all pairs similar, up to the square of the window",
        statement=r"1-s\leq\frac{1}{12}\delta^2T(T+1),\quad\delta=\max_t|u_{t+1}-u_t|",
        assumes="T queries of any kind; the converse fails", expected=PROVED,
        note="tappa.md X7 saw ratios up to .76; the supremum is 1, for a slow constant turn",
        prove=_prove_steps, holds=Inequality(DELTA, _steps, tight={"seed": 0, "length": 8, "size": 1.0,
                                                                   "turning": True}),
        control=Control("the bound for neighbours, without the window", Inequality(
            DELTA, lambda seed, length, size, turning: _steps(seed, length, size, turning, neighbours=True)))),
    Claim(
        id="tappa-high-similarity", source=f"{PAPER}, q-similarity read as a measure of stability",
        label="C-tappa-high-similarity",
        title="High q-similarity does not make attention stable: a massive channel hides a jump of any size",
        statement=r"s=\frac{T\kappa-1}{T-1}\to 1,\quad\mathrm{TV}=\tanh a,\quad\kappa=\frac{M^2}{M^2+a^2}",
        assumes="after RoPE, T even: queries (M, +a) and (M, -a) in turn, keys (0, 1) and (0, -1); the reading that is "
                "refuted is s >= .95 => TV <= 1/2, and no other pair of thresholds below 1 fares better",
        expected=CORRECTED, note="tappa.md X2 (ii): q-similarity .967 and TV .98 with a random rest",
        prove=_prove_massive, holds=Identity(HIGH, _massive),
        simulate=Simulation(JUMPS, "a", "mean TV of queries that jump at random", _predicted_massive,
                            _simulated_massive),
        printed=Inequality(HIGH, _read_high, tight={"massive": 12.0, "jump": 2.0, "length": 16}),
        control=Control("TV = tanh(a / 2), the logits' difference taken for 2 a / 2", Identity(
            HIGH, lambda massive, jump, length: _massive(massive, jump, length, halved=0.5)))),
    Claim(
        id="tappa-low-similarity", source=f"{PAPER}, Proposition 4.1 read as 'low q-similarity, random pattern'",
        label="C-tappa-low-similarity",
        title="Low q-similarity does not make attention move: the softmax drops a jump that all keys share",
        statement=r"k_j=k+x_j,\ \Delta q\perp x_j:\ |\Delta\ell_j|=|\langle\Delta q,k\rangle|,\ A_{i+1,j}=A_{ij}",
        assumes="after RoPE, over the keys that both rows see; the softmax is proved for three keys. The reading that "
                "is refuted is 1 - s <= 100 TV",
        expected=CORRECTED, note="tappa.md X2 (i): a logit change of 393.7, q-similarity .19, TV 1e-14",
        prove=_prove_common, holds=Identity(LOW, _common),
        printed=Inequality(LOW, _read_low, tight={"seed": 0, "jump": 400.0, "keys": 4}),
        control=Control("keys that share the direction and not the size", Identity(
            LOW, lambda seed, jump, keys: _common(seed, jump, keys, apart=1.0)))),
    Claim(
        id="tappa-periodic-head", source=f"{PAPER}, its code: q-similarity of the last 32 queries after RoPE",
        label="C-tappa-periodic-head",
        title="A head of perfect periodic diagonals, which the similarity after RoPE calls unpredictable",
        statement=r"\ell_{i+1,j+1}=\ell_{ij},\quad s_{pre}=1,\quad s_{post}=F_T(\theta)\geq-\frac{1}{T-1}",
        assumes="constant query and key, one pair of high frequency; equality at T theta = 2 pi n. The reading that "
                "is refuted is s_post >= half the predictability of rows from rows",
        expected=CORRECTED,
        note="tappa.md X7: .024 for a head that is not described; single pairs of base 1e4: -.032, .004, .371, .915, "
             ".991 at m = 0, 8, 16, 24, 32",
        prove=_prove_periodic, holds=Identity(PERIODIC, _periodic),
        simulate=Simulation(INDICES, "index of the pair", "q-similarity after RoPE", _predicted_periodic,
                            _simulated_periodic),
        printed=Inequality(PERIODIC, _read_periodic, tight={"seed": 0, "length": 32, "theta": np.pi / 4}),
        control=Control("rows that repeat key by key", Identity(PERIODIC, lambda seed, length, theta: _periodic(
            seed, length, theta, vertical=True)))),
)
