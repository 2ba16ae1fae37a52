"""Claims about packed documents: the tokens that are left at infinite depth, and rows that average little."""

import math

import numpy as np
import sympy
from hypothesis import strategies as st

from ..predict import depth
from .claim import PROVED, Claim, Control, Identity, Simulation
from .proofs import every, zero

LENS = "Barbero et al. 2025 (2504.02732)"


def _mean(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(values.size))


def _packed(length: int, document: int, shared: bool) -> np.ndarray:
    """Which keys each row sees: causal, inside its document, and perhaps a shared first token ahead of all."""
    at = np.arange(length)
    seen = (at[:, None] >= at) & (at[:, None] // document == at // document)
    if shared:
        seen = np.block([[np.ones((1, 1), dtype=bool), np.zeros((1, length), dtype=bool)],
                         [np.ones((length, 1), dtype=bool), seen]])
    return seen


def _softmax(seen: np.ndarray, seed: int) -> np.ndarray:
    weights = np.where(seen, np.exp(np.random.default_rng(seed).normal(size=seen.shape)), 0.0)
    return weights / weights.sum(axis=1, keepdims=True)


# Absorbing tokens

def _absorbing(seed: int, documents: int, document: int, shared: bool, told: bool = True) -> tuple[int, int]:
    """Dimension of the fixed vectors against the self-only rows (C-mixing-absorbing)."""
    scores = _softmax(_packed(documents * document, document, shared), seed)
    fixed = len(scores) - int(np.linalg.matrix_rank(scores - np.eye(len(scores)), tol=1e-9))
    return fixed, 1 if shared and told else documents


def _prove_absorbing() -> str:
    n = 4
    x = sympy.Symbol("x")
    s = sympy.Matrix(n, n, lambda i, j: sympy.Symbol(f"s{i}{j}", nonnegative=True) if j <= i else 0)
    return zero(s.charpoly(x).as_expr() - sympy.prod([x - s[i, i] for i in range(n)]))


def _tie_absorbing() -> float:
    scores = [_softmax(_packed(12, document, shared), 3) for document, shared in ((3, False), (12, False), (3, True))]
    return float(max(abs(depth.absorbing(s) - known) for s, known in zip(scores, (4, 1, 1))))


PACKED = {"seed": st.integers(0, 2 ** 32 - 1), "documents": st.integers(1, 5), "document": st.integers(2, 5),
          "shared": st.booleans()}


# Participation of uniform rows

LAYOUTS = ((64, False), (16, False), (64, True), (16, True))


def _participation(documents: int, document: int, shared: bool, told: bool = True) -> tuple[np.ndarray, np.ndarray]:
    seen = _packed(documents * document, document, shared)
    scores = seen / seen.sum(axis=1, keepdims=True)
    within = np.tile(np.arange(1, document + 1), documents)
    return (scores ** 2).sum(axis=1)[int(shared):], 1 / (within + (1.0 if shared and told else 0.0))


def _prove_participation() -> str:
    n, i, m = sympy.symbols("n i m", positive=True, integer=True)
    row = sympy.summation(1 / n ** 2, (i, 1, n)) - 1 / n
    causal_mean = sympy.summation(1 / i, (i, 1, m)) - sympy.harmonic(m)
    shared_mean = [sympy.summation(1 / (i + 1), (i, 1, k)) - (sympy.harmonic(k + 1) - 1) for k in (1, 4, 16, 64)]
    return every([zero(row), zero(causal_mean), *map(zero, shared_mean)])


def _variances(rng: np.random.Generator) -> tuple[list[float], list[float]]:
    found = []
    for document, shared in LAYOUTS:
        seen = _packed(64, document, shared)[int(shared):]
        outputs = rng.normal(size=(4000, seen.shape[1])) @ (seen / seen.sum(axis=1, keepdims=True)).T
        found.append(_mean((outputs ** 2).mean(axis=1)))
    return [x for x, _ in found], [x for _, x in found]


def _mean_participations() -> tuple[list[float], float]:
    return [float(depth.packed_participation(64, document, shared=shared).mean()) for document, shared in LAYOUTS], 0.0


CLAIMS = (
    Claim(
        id="mixing-absorbing", source="Lemma B.6 of the paper that sinks.md 2.2 calls T; R14",
        label="C-mixing-absorbing",
        title="Tokens left at infinite depth are those that see themselves alone: one for each packed document",
        statement=r"\dim \ker (S - I) = |\{ i : S_{ii} = 1 \}|",
        assumes="row-stochastic causal scores; proved up to 4 tokens (the characteristic polynomial)", expected=PROVED,
        note="sinks.md 2.2 and R14: 4 documents without a shared first token, 1 with it",
        prove=_prove_absorbing, holds=Identity(PACKED, _absorbing), tie=_tie_absorbing,
        control=Control("one absorbing token a document also with a shared first token", Identity(
            PACKED, lambda **draw: _absorbing(**draw, told=False))),
    ),
    Claim(
        id="mixing-packing", source="sinks.md R14, for the packing experiment of " + LENS + ", Table 2",
        label="C-mixing-packing", title="Packing leaves rows that average little: participation of uniform rows",
        statement=r"\sum_j S_{ij}^2 = \frac{1}{r+1}, \quad\mathrm{with\ a\ shared\ token}\ \frac{1}{r+2},"
                  r"\quad r = i\,\mathrm{mod}\,m",
        assumes="uniform scores; content tokens only; documents of equal length; topology alone, no training",
        expected=PROVED, note="sinks.md R14: means 0.0741, 0.2113, 0.0587, 0.1525 for T = 64, m = 16: tested",
        prove=_prove_participation,
        holds=Identity({name: PACKED[name] for name in ("documents", "document", "shared")}, _participation),
        simulate=Simulation(range(4), "causal, packed, causal and shared, packed and shared",
                            "mean variance of outputs", _mean_participations, _variances),
        control=Control("the shared token not counted", Identity(
            {name: PACKED[name] for name in ("documents", "document", "shared")},
            lambda **draw: _participation(**draw, told=False))),
    ),
)
