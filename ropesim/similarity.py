"""Measures of queries or keys: q-similarity, rank, norm variation, and which pairs carry a logit.

The vectors are complex128[T, B], one complex number a pair. Every measure takes them as they are, before RoPE or after:
multiply by `simulate.attention.rotation(T, theta)` first for the similarity after RoPE. Norms, rank shares and the
effective rank of one token are the same before and after; the similarities and the rank of a text are not.
"""

import numpy as np

from .errors import RopesimError, array, number

SAFE = 1e-280        # squared norms from here to 1/SAFE have neither underflowed nor overflowed
NO_DIRECTION = 1e-12  # a centred query this much shorter than the longest query is rounding
ACTIVE = 0.1          # share of the largest mean contribution above which a pair is active


def adjacent(q: np.ndarray) -> float:
    """Mean cosine between each query and the next, from -1 to 1.

    q: complex128[T, B], T >= 2, no query zero, before or after RoPE. O(T B). Raises RopesimError otherwise.

        s_1 = 1/(T - 1) sum_t <u_t, u_{t+1}>,  u = q/|q|                            (P-q-adjacent)

    Source: Yang et al. 2026 (2601.21709), the condition of its theorems; its code computes `all_pairs`.

    >>> adjacent([[1], [1j], [1j]])
    0.5
    """
    x, weight = _queries(q, 2)
    cosines = np.vecdot(x[:-1], x[1:]) * weight[:-1] * weight[1:]
    return _cosine(cosines.mean(), -1.0)


def all_pairs(q: np.ndarray) -> float:
    """Mean cosine between two different queries, from -1/(T - 1) to 1.

    q: complex128[T, B], T >= 2, no query zero, before or after RoPE. O(T B), without the T x T Gram matrix; errs by
    about 1e-16. Raises RopesimError otherwise.

        s = 1/(T(T - 1)) sum_{t != t'} <u_t, u_t'> = (|sum_t u_t|^2 - T) / (T(T - 1)),  u = q/|q|   (P-q-similarity)

    Source: Yang et al. 2026 (2601.21709) and its code: the last 32 queries after RoPE for the cache, up to 1024 queries
    before RoPE for pruning.

    >>> round(all_pairs([[1], [1j], [1j]]), 12)
    0.333333333333
    """
    x, weight = _queries(q, 2)
    total, length = weight @ x, len(x)
    return _cosine((total @ total - length) / (length * (length - 1)), -1 / (length - 1))


def centred(q: np.ndarray) -> float:
    """Mean cosine between two different queries once the mean query is taken off, from -1/(T - 1) to 1.

    q: complex128[T, B], T >= 2, before or after RoPE; no query may equal the mean (to 1e-12 of the longest), as in a
    constant head. Raises RopesimError otherwise. A large channel that never changes lifts `all_pairs`, not this.

        s_c = all_pairs(q - mean_t q)                                             (P-q-centred)

    Source: derived here, from the counterexample (ii) of tappa.md X2.

    >>> round(centred([[100 + 1], [100 - 1], [100 + 1j], [100 - 1j]]), 12)
    -0.333333333333
    """
    q = _sized("q", q, 2)
    x = q.view(np.float64)
    x = np.ldexp(x, -np.frexp(np.abs(x).max())[1])
    rest = x - x.mean(axis=0)
    if np.linalg.norm(rest, axis=1).min() <= NO_DIRECTION * np.linalg.norm(x, axis=1).max():
        raise RopesimError("q", "a query equal to the mean", "use queries that differ from their mean")
    return all_pairs(rest.view(np.complex128))


def norm_variation(x: np.ndarray) -> float:
    """Relative variation of the norms, their standard deviation over their mean, from 0 to sqrt(T - 1).

    x: complex128[T, B], T >= 1, not all zero. Raises RopesimError otherwise.

        std_t |x_t| / mean_t |x_t|                                                (P-norm-variation)

    Source: Cheng et al. 2026 (2601.08297), Fig. 14: at most .12 on its slash heads.

    >>> norm_variation([[1], [3]])
    0.5
    """
    norms = np.linalg.norm(_scaled(x), axis=1)
    return float(norms.std() / norms.mean())


def rank_shares(x: np.ndarray) -> np.ndarray:
    """Share of each singular direction in the energy of the tokens, falling, float64[min(T, 2B)], sum 1.

    x: complex128[T, B], T >= 1, not all zero, taken as the real T x 2B matrix. Raises RopesimError otherwise.

        r_l = sigma_l^2 / sum_m sigma_m^2                                         (P-rank)

    Source: Cheng et al. 2026 (2601.08297), section 4; r_1 near 1 means rank one.

    >>> rank_shares([[2], [1j]])
    array([0.8, 0.2])
    """
    energy = np.linalg.svd(_scaled(x), compute_uv=False) ** 2
    return energy / energy.sum()


def effective_rank(x: np.ndarray, tau: float = 0.95) -> int:
    """Number of singular directions that hold the share `tau` of the energy, from 1 to min(T, 2B).

    x as for `rank_shares`; tau above 0 and up to 1, met to within 1e-12. Raises RopesimError otherwise.

        R_tau = min {l : r_1 + ... + r_l >= tau}                                  (P-rank)

    Source: Cheng et al. 2026 (2601.08297), section 4, with tau = 0.95.

    >>> effective_rank([[2], [1j]]), effective_rank([[2], [1j]], 0.8)
    (2, 1)
    """
    tau = number("tau", tau, above=0, most=1)
    return int(np.argmax(rank_shares(x).cumsum() >= tau - 1e-12)) + 1


def active_frequencies(contribution: np.ndarray) -> np.ndarray:
    """Pairs whose mean share of the logit exceeds a tenth of the largest, int[number of such pairs], ascending.

    contribution: float64[n, B], what each pair adds to the logits of n >= 1 pairs of tokens, as from
    `predict.attention.pair_logits` or `simulate.attention.pair_logits`. Raises RopesimError otherwise. None is active
    if no mean is positive.

        {b : mean_n InP_b > 1/10 max_c mean_n InP_c}                              (P-active)

    Source: Cheng et al. 2026 (2601.08297), section 4.

    >>> active_frequencies([[1.0, 0.0, -3.0], [1.0, 0.3, -3.0]])
    array([0, 1])
    """
    contribution = array("contribution", contribution, [None, None])
    if not contribution.size:
        raise RopesimError("shape of contribution", contribution.shape, "use at least one row and one pair")
    mean = contribution.mean(axis=0)
    return np.flatnonzero((mean > ACTIVE * mean.max()) & (mean > 0))


def _sized(name: str, q: np.ndarray, least: int) -> np.ndarray:
    q = array(name, q, [None, None], np.complex128)
    if len(q) < least or not q.shape[1]:
        raise RopesimError(f"shape of {name}", q.shape, f"use at least {least} token{'s' * (least > 1)} and one pair")
    return np.ascontiguousarray(q)


def _scaled(x: np.ndarray) -> np.ndarray:
    """The tokens as real [T, 2B], scaled to a largest entry from 1/2 to 1."""
    x = _sized("x", x, 1).view(np.float64)
    peak = np.abs(x).max()
    if not peak:
        raise RopesimError("x", 0, "use vectors that are not all zero")
    return np.ldexp(x, -np.frexp(peak)[1])    # by a power of two: exact


def _queries(q: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
    """The queries as real [T, 2B], and one over the norm of each.

    The squared norms of ordinary queries also show that every entry is finite, which saves a pass over them.
    """
    if isinstance(q, np.ndarray) and q.dtype == np.complex128 and q.ndim == 2 and len(q) >= least and q.shape[1]:
        x = np.ascontiguousarray(q).view(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            square = np.vecdot(x, x)
        if square.min() >= SAFE and square.max() <= 1 / SAFE:
            return x, 1 / np.sqrt(square)
    x = _sized("q", q, least).view(np.float64)
    peak = np.abs(x).max(axis=1, keepdims=True)
    if not peak.all():
        raise RopesimError("q", "a query of norm 0", "use queries of positive norm")
    x = np.ldexp(x, -np.frexp(peak)[1])
    return x, 1 / np.linalg.norm(x, axis=1)


def _cosine(value: float, least: float) -> float:
    return float(min(max(value, least), 1.0))
