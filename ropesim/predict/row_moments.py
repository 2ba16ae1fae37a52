"""Means and products of the scores of random rows that know nothing of the tokens, by quadrature."""

from typing import NamedTuple

import numpy as np
from scipy.special import expit

from ..stacks import Rows

REACH = 10.0     # standard deviations of a logit that are integrated over
STEP = 0.25      # of log t
TINY = 1e-13     # relative error that rounding leaves
HIGH = 150.0     # exponents above are cut off, where e^{-e^x} is 0


class Joint(NamedTuple):
    """Expected products of the scores a of key 0, and b, c of any two other keys: float64[T]."""

    a: np.ndarray
    b: np.ndarray
    aa: np.ndarray
    ab: np.ndarray
    bb: np.ndarray
    bc: np.ndarray
    aaaa: np.ndarray
    aabb: np.ndarray
    bbbb: np.ndarray
    bbcc: np.ndarray
    error: float = TINY


class Moments(NamedTuple):
    """Of each row, float64[T]: c times key 0's score (0 where not seen), and any two other keys j != k it sees."""

    first: np.ndarray     # E c a_0
    other: np.ndarray     # E a_j
    first2: np.ndarray    # E c^2 a_0^2
    cross: np.ndarray     # E c a_0 a_j
    other2: np.ndarray    # E a_j^2
    pair: np.ndarray      # E a_j a_k
    square: np.ndarray    # E (c^2 a_0^2 + sum_j a_j^2)^2
    error: float          # relative, of all


def moments(rows: Rows, others: np.ndarray, first: np.ndarray, value: float = 1.0) -> Moments:
    """First and second moments of rows that see `others` keys besides key 0, and key 0 where `first` holds.

    others: int[T] >= 0; first: bool[T], True where others is 0; value: c >= 0. Exact up to `error`: how far the
    expected sums of softmax rows are from 1, and rounding.

        E prod_k a_k^{m_k} = int t^{|m|-1} / Gamma(|m|) e^{-t z} prod_k E[e^{m_k l_k - t e^{l_k}}] dt,
        a_k = e^{l_k} / (z + sum e^l)                                                (D-row-moments)

    with z = 0, or 1 for softmax-plus-one: trapezoid sums over log t and over the normal logits. The scores of sigmoid
    rows are independent, those of a given mass have the others' softmax. Source: sinks.md R4, of which E a_j^2 is a
    case; the rest is ours.

    >>> moments(Rows(), np.array([0, 1]), np.array([True, True])).first
    array([1. , 0.5])
    """
    joint = (_sigmoid if rows.kind == "sigmoid" else _softmax)(rows, others, first)
    square = value ** 4 * joint.aaaa + others * (2 * value ** 2 * joint.aabb + joint.bbbb + (others - 1) * joint.bbcc)
    return Moments(value * joint.a, joint.b, value ** 2 * joint.aa, value * joint.ab, joint.bb, joint.bc, square,
                   joint.error)


def _softmax(rows: Rows, others: np.ndarray, first: np.ndarray) -> Joint:
    extra = 1.0 if rows.kind == "softmax-plus-one" else 0.0
    if rows.mass is not None:
        rest = _drawn(rows.tau, others, extra)
        own, keep = np.where(first, np.where(others == 0, 1.0, rows.mass), 0.0), 1 - np.where(first, rows.mass, 0.0)
        return Joint(own, keep * rest.b, own ** 2, own * keep * rest.b, keep ** 2 * rest.bb, keep ** 2 * rest.bc,
                     own ** 4, own ** 2 * keep ** 2 * rest.bb, keep ** 4 * rest.bbbb, keep ** 4 * rest.bbcc, rest.error)
    if rows.margin is None:                                    # key 0 is a key as any other
        same = _drawn(rows.tau, others + first, extra)
        return same._replace(a=first * same.b, aa=first * same.bb, ab=first * same.bc, aaaa=first * same.bbbb,
                             aabb=first * same.bbcc)
    plain = _drawn(rows.tau, others, extra)
    sunk = _drawn(rows.tau, others, extra, rows.margin + rows.tau ** 2 / 2)
    both = [np.where(first, x, y) for x, y in zip(sunk[:-1], plain[:-1])]
    return Joint._make([*both, max(sunk.error, plain.error)])


def _drawn(tau: float, keys: np.ndarray, extra: float, logit: float = -np.inf) -> Joint:
    """Softmax of so many normal logits and, for key 0, one given logit, with a constant in the sum."""
    if tau == 0:
        with np.errstate(divide="ignore"):
            total = np.logaddexp(np.logaddexp(np.log(keys), np.log(extra)), logit)
        total = np.where(np.isfinite(total), total, 0.0)                 # rows without any key
        own, other = np.exp(logit - total), np.exp(-total) * (keys > 0)
        two = other ** 2 * (keys > 1)
        return Joint(own, other, own ** 2, own * other, other ** 2, two, own ** 4, own ** 2 * other ** 2, other ** 4,
                     two ** 2)
    seen, back = np.unique(keys, return_inverse=True)
    low = REACH * tau + 32 + max(np.log(max(seen[-1], 1)), logit, 0.0)
    x = np.arange(-low, 5 + max(REACH * tau, -logit if np.isfinite(logit) else 0.0), STEP)
    y = np.exp(np.minimum(x[:, None] + tau * _normal(tau)[0], HIGH))
    weight, decay = _normal(tau)[1], np.exp(-y)
    phi, short = decay @ weight, -np.expm1(-y) @ weight                  # short = 1 - phi, to its own digits
    log_phi = np.where(phi < 0.5, np.log(np.maximum(phi, 1e-300)), np.log1p(-np.minimum(short, 0.5)))
    one, two, four = y * decay @ weight, y ** 2 * decay @ weight, y ** 4 * decay @ weight     # t^m E e^{ms - t e^s}
    own = np.exp(np.minimum(x + logit, HIGH))
    given = STEP * np.exp(-own - extra * np.exp(np.minimum(x, HIGH)))

    def mean(factor: np.ndarray, drawn: int) -> np.ndarray:
        """int factor e^{-t c} phi^(keys - drawn) d log t for each number of keys that has so many."""
        power = np.exp(np.maximum(seen - drawn, 0)[:, None] * log_phi)
        return np.where(seen >= drawn, power @ (given * factor), 0.0)[back]

    out = Joint(mean(own, 0), mean(one, 1), mean(own ** 2, 0), mean(own * one, 1), mean(two, 1), mean(one ** 2, 2),
                mean(own ** 4, 0) / 6, mean(own ** 2 * two, 1) / 6, mean(four, 1) / 6, mean(two ** 2, 2) / 6)
    full = (keys > 0) | np.isfinite(logit)
    gap = np.abs(out.a + keys * out.b - 1)[full].max(initial=0.0) if extra == 0 else 0.0
    return out._replace(error=float(gap) + TINY)


def _sigmoid(rows: Rows, others: np.ndarray, first: np.ndarray) -> Joint:
    """Independent scores 1 / (1 + e^{-(logit - log keys)})."""
    normal, weight = _normal(rows.tau)
    size = np.log(others + first)
    drawn = expit(rows.tau * normal - size[:, None])
    one, two, four = (drawn ** m @ weight for m in (1, 2, 4))
    own, own2, own4 = one, two, four
    if rows.margin is not None:
        own = expit(rows.margin + rows.tau ** 2 / 2 - size)
        own2, own4 = own ** 2, own ** 4
    return Joint(first * own, one, first * own2, first * own * one, two, one ** 2, first * own4, first * own2 * two,
                 four, two ** 2)


def _normal(tau: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights for a standard normal number that is multiplied with tau."""
    nodes = np.linspace(-REACH, REACH, 1 + 2 * int(REACH * max(2.0, 3 * tau)))
    weight = np.exp(-nodes ** 2 / 2)
    return nodes, weight / weight.sum()
