"""A stack of attention layers in closed form: the expected inner products of its tokens, layer after layer.

Every row is a share for key 0 and exchangeable shares for an interval of other keys: a product with expected rows is a
difference of two running sums, and a layer is O(T^2).
"""

from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from .. import masks
from ..errors import RopesimError, whole
from ..stacks import Stack
from . import depth, sinks
from .row_moments import Moments, moments

LONGEST = 1 << 13     # tokens: T x T doubles of 0.5 GB, about eight of them at a time
LOST = 1e-13          # of the largest sensitivity, lost in any
STRONG = 0.3          # mean score on key 0 above which a head counts as a sink


class Keys(NamedTuple):
    """What each row sees: key 0 or not, and the keys low .. high - 1 besides."""

    first: np.ndarray     # bool[T]
    low: np.ndarray       # int[T], >= 1
    high: np.ndarray      # int[T]


class Required(NamedTuple):
    """A sink's least mass, and the margins with which it has it: in the last row, and on average over all rows."""

    mass: float
    row_margin: float
    score_margin: float


class RowNoise(NamedTuple):
    """Of each row, float64[T]."""

    total: np.ndarray     # (E sum a)^2
    alike: np.ndarray     # E sum a^2
    loud: np.ndarray      # relative variance of sum a
    shape: np.ndarray     # and that of sum a^2 which it leaves


class Walk(NamedTuple):
    """Expected state of a stack, layer by layer; the names are those of `expected`."""

    variance: np.ndarray        # [L, T]
    norm: np.ndarray            # [L+1, T]
    cosine: np.ndarray          # [L+1]
    disagreement: np.ndarray    # [L+1]
    sensitivity: np.ndarray     # [T]


Scales = tuple[np.ndarray, np.ndarray, np.ndarray]      # of the values, of a head's aggregate, of the sum: [T] each


def expected(stack: Stack) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Every quantity of a stack, and the error of each, by name; arrays as those of `simulate.mixing.run`.

    length up to 8192, else RopesimError. O(L T^2), five times over. Norms, variances, disagreement and sensitivity
    (up to 1e-13 of the largest) are exact for norm "none" without head_norm, and so is the first token's norm. What
    else the recursion leaves out is of order 1/d, and of order Var |o|^2 / H where rows are random: both are added to
    it to first order. The error is half of each, and how far a fluctuation of what is aggregated by 1 +- sqrt(2/d) in
    all layers shifts the mean of the two.

        K' = K + g^2 E A K^ A^T,  K^_ij = K_ij / sqrt(K_ii K_jj) + beta_ij     (D-gram), (D-gram-width), (D-gram-rows)

    Source: sinks.md R11 for the recursion; rows, corrections and errors are ours.

    >>> values, errors = expected(Stack(layers=6, length=32, heads=1))
    >>> values["norm"][-1, [0, 1, 7]].round(1), errors["norm"][-1, 0] < 1e-9
    (array([7. , 5.3, 3.5]), np.True_)
    """
    if stack.length > LONGEST:
        raise RopesimError("length", stack.length, f"use at most {LONGEST} tokens, inner products take T x T numbers")
    keys = visible(stack)
    m = moments(stack.rows, keys.high - keys.low, keys.first, stack.value)
    sway = np.sqrt(2 / stack.width)
    found = _walk(stack, m, keys)
    given = _walk(stack, m, keys, drawn=0.0) if stack.rows.tau > 0 else found
    walks = [found, _walk(stack, m, keys, width=0.0), given, *(_walk(stack, m, keys, sway=x) for x in (sway, -sway))]
    linear = stack.norm == "none" and not stack.head_norm
    values, errors = {}, {}
    for name, value, wide, given, more, less in zip(Walk._fields, *walks):
        values[name] = value
        errors[name] = 4 * (stack.layers + 1) * m.error * np.abs(value)
        if name == "sensitivity":                        # differences of running sums: what is small loses digits
            errors[name] += LOST * value.max(initial=0.0)
        if name == "cosine" or not linear:
            errors[name] += np.abs(value - wide) / 2 + np.abs(value - given) / 2 + np.abs(more / 2 + less / 2 - value)
    m = moments(stack.rows, keys.high - keys.low, keys.first)     # of the scores themselves
    for name, (score, error) in {"received": _received(m, keys), "sink": _sink(m)}.items():
        values[name], errors[name] = np.full(stack.layers, score), np.full(stack.layers, error)
    return values, errors


def visible(stack: Stack) -> Keys:
    """What each row of a stack sees.

    >>> visible(Stack(length=3, window=2)).low
    array([1, 1, 1])
    """
    mask = masks.visible(stack.length, window=stack.window, document=stack.document, shared=stack.shared,
                         alone=stack.alone)
    high = np.arange(1, stack.length + 1)
    return Keys(mask[:, 0], high - mask[:, 1:].sum(axis=1), high)


def required(layers: int, length: int, *, mixing: float, kept: float) -> Required:
    """How strong a sink of zero value must be for a share of the disagreement to be kept through so many layers.

    layers: L >= 1; length: T >= 2; mixing, kept: above 0, up to 1, as for `depth.least_sink`. Raises RopesimError
    otherwise. Margins are nats above the log-mean-exp of the other keys, -inf where no sink is needed. The mass hardly
    depends on T, the margins grow as ln T.

        a = max(0, (1 - (1-l) kept^(-1/L)) / l),  b = ln((T-1) a / (1-a))            (D-required)

    Source: sinks.md R8 and R5; the margin of the mean score is (C-sinks-score) solved.

    >>> [round(x, 3) for x in required(126, 2048, mixing=0.3, kept=0.1)]
    [0.957, 10.726, 10.018]
    """
    length = whole("length", length, least=2)
    mass = depth.least_sink(mixing, layers, kept=kept)
    if mass == 0:
        return Required(0.0, -np.inf, -np.inf)
    row = sinks.margin_for_mass(mass, length - 1) if mass < 1 else np.inf
    score = sinks.margin_for_score(mass, length) if 1 / length < mass < 1 else np.inf if mass == 1 else -np.inf
    return Required(mass, row, score)


def _walk(stack: Stack, m: Moments, keys: Keys, *, width: float = 1.0, drawn: float = 1.0, sway: float = 0.0) -> Walk:
    """The recursion; corrections for width and drawn rows are scaled by a factor, what is aggregated by 1 + sway."""
    ones = np.ones(stack.length)
    start = gram = cosine = (1 - stack.rho) * np.eye(stack.length) + stack.rho
    rows = _row_noise(m, keys, drawn)
    noise, loose = 0 * ones, ones        # relative variance of |x|^2 from drawn rows; sqrt(K E 1/|x|^2)
    norms, cosines, apart = [ones], [_mean_cosine(gram)], [1 - gram.mean()]
    spreads: list[np.ndarray] = []
    scales: list[Scales] = []
    for _ in range(stack.layers):
        scale = loose / np.sqrt(gram.diagonal()) if stack.norm == "pre" else ones
        added = _aggregate(cosine if stack.norm == "pre" else gram, m, keys)
        spreads.append(added.diagonal().copy())
        heads = ones
        if stack.head_norm:
            added, heads = _unit(added, rows, width / stack.width)
        else:
            added *= 1 + sway
        before, old, gram = gram if stack.norm == "post" else start, gram.diagonal(), gram + stack.gain ** 2 * added
        after = 1 / np.sqrt(gram.diagonal())
        if not stack.head_norm:
            part = (stack.gain * after) ** 2                    # of |x|^2, for what is aggregated as it is
            noise = noise * (old * after ** 2) ** 2 + (rows.shape * (part * rows.alike) ** 2
                                                       + 4 * rows.loud * (part * spreads[-1]) ** 2) / stack.heads
        cosine = _cosines(gram, after, 0.375 * noise)
        if width > 0:
            cosine += width / stack.width * _bias(gram, before)
        loose = np.sqrt(1 + 2 * width / stack.width * (1 - (before.diagonal() * after ** 2) ** 2) + noise)
        if stack.norm == "post":
            gram, noise = cosine, 0 * ones
        scales.append((scale, heads, loose * after if stack.norm == "post" else ones))
        norms.append(gram.diagonal().copy())
        cosines.append(_mean_cosine(cosine))
        apart.append(gram.diagonal().mean() - gram.mean())
    return Walk(np.array(spreads).reshape(-1, stack.length), np.array(norms), np.array(cosines), np.array(apart),
                _sensitivity(stack, m, keys, scales))


def _aggregate(values: np.ndarray, m: Moments, keys: Keys) -> np.ndarray:
    """E A values A^T: rows are independent of each other, so only the diagonal needs second moments.

    values: float64[T, T], symmetric.
    """
    inner = _sums(values, keys)
    mean = m.first[:, None] * values[0] + m.other[:, None] * inner
    out = m.first[:, None] * mean[:, 0] + m.other[:, None] * _sums(mean.T, keys)
    own = _sums(values.diagonal()[:, None], keys)[:, 0]
    run, row = np.cumsum(inner, axis=1), np.arange(len(values))
    pairs = run[row, keys.high - 1] - run[row, keys.low - 1] - own           # over j != k
    np.fill_diagonal(out, m.first2 * values[0, 0] + 2 * m.cross * inner[:, 0] + m.other2 * own + m.pair * pairs)
    return out


def _pulled(back: np.ndarray, m: Moments, keys: Keys) -> np.ndarray:
    """E A^T back A, the adjoint of `_aggregate`. back: float64[T, T], symmetric."""
    own = back.diagonal().copy()
    rest = back - np.diag(own)

    def mean(y: np.ndarray) -> np.ndarray:
        out = _spread(m.other[:, None] * y, keys)
        out[0] += m.first @ y
        return out

    out = mean(mean(rest).T)
    corner = np.zeros((len(own) + 1, len(own) + 1))                # sum of blocks: differences at their four corners
    for rows, columns, sign in ((keys.low, keys.low, 1), (keys.high, keys.high, 1), (keys.low, keys.high, -1),
                                (keys.high, keys.low, -1)):
        np.add.at(corner, (rows, columns), sign * own * m.pair)
    out += corner.cumsum(axis=1).cumsum(axis=0)[:-1, :-1]
    out[np.diag_indices_from(out)] += _spread((own * (m.other2 - m.pair))[:, None], keys)[:, 0]
    cross = _spread((own * m.cross)[:, None], keys)[:, 0]
    out[0] += cross
    out[:, 0] += cross
    out[0, 0] += own @ m.first2
    return out


def _sums(x: np.ndarray, keys: Keys) -> np.ndarray:
    """Sum of the rows of x over each row's keys but key 0."""
    total = np.zeros((len(x) + 1, x.shape[1]))
    for i, row in enumerate(x):                            # several times faster than cumsum along the first axis
        np.add(total[i], row, out=total[i + 1])
    return total[keys.high] - total[keys.low]


def _spread(y: np.ndarray, keys: Keys) -> np.ndarray:
    """Each row of y added to all its keys but key 0: the transpose of `_sums`."""
    order = np.argsort(keys.low, kind="stable")
    lows, begin = np.unique(keys.low[order], return_index=True)
    steps = np.zeros((len(y) + 1, y.shape[1]))
    steps[lows] = np.add.reduceat(y[order], begin, axis=0)
    steps[keys.high] -= y                                  # each row has its own
    for i in range(len(y)):
        steps[i + 1] += steps[i]
    return steps[:-1]


def _sensitivity(stack: Stack, m: Moments, keys: Keys, scales: list[Scales]) -> np.ndarray:
    """Diagonal of what the adjoints of all layers make of e_n e_n^T, n the last token: one pass for all tokens.

        Y <- Y + g^2 D^(-1/2) E[A^T Y A] D^(-1/2)                                    (D-gram-sensitivity)
    """
    back = np.zeros((stack.length, stack.length))
    back[-1, -1] = 1
    for scale, heads, after in reversed(scales):
        back *= np.outer(after, after)
        back = back + stack.gain ** 2 * np.outer(scale, scale) * _pulled(np.outer(heads, heads) * back, m, keys)
    return back.diagonal().copy()


def _row_noise(m: Moments, keys: Keys, drawn: float) -> RowNoise:
    count = keys.high - keys.low
    total, alike = np.maximum((m.first + count * m.other) ** 2, 1e-300), m.first2 + count * m.other2
    loud = np.maximum((alike + count * (2 * m.cross + (count - 1) * m.pair)) / total - 1, 0)
    ratio = np.divide(m.square, alike ** 2, out=np.ones(len(alike)), where=alike > 1e-150)
    return RowNoise(total, alike, drawn * loud, drawn * np.maximum(ratio - 1 - 4 * loud, 0))


def _unit(added: np.ndarray, rows: RowNoise, inverse_width: float) -> tuple[np.ndarray, np.ndarray]:
    """Inner products of a head's aggregates scaled to norm 1, and the root mean square of the scale for tangents.

        E b_i b_k = S_ik / sqrt(S_ii S_kk) (1 + ...)                                 (D-gram-rows), (D-gram-sensitivity)
    """
    size = added.diagonal().copy()
    scale = 1 / np.sqrt(np.where(size > 1e-300, size, np.inf))                         # zero stays zero
    out = np.clip(_cosines(added, scale, 0.375 * rows.shape * (rows.alike * scale ** 2) ** 2, rows.loud), -1, 1)
    apart = 1 - (size - rows.alike) / np.maximum(rows.total - rows.alike, 1e-300)       # 1 - the tokens' cosine
    own = np.clip(apart, 0, 1) * rows.alike * scale ** 2
    square = ((1 + 2 * inverse_width * (1 - np.minimum(size / rows.total, 1)))
              / (1 + rows.shape * own * np.maximum(1 - own, 0)))
    return out, scale * np.sqrt(square)


def _cosines(gram: np.ndarray, scale: np.ndarray, noise: np.ndarray, loud: np.ndarray | float = 0.0) -> np.ndarray:
    """gram with its norms taken out: 8/3 noise is their relative variance as far as it is independent of the rest.

    loud: relative variance of a factor that a token's norm and its products share.
    """
    factor = scale * np.sqrt(1 + loud)
    out = gram * np.outer(factor, factor)
    if noise.any():
        out *= 1 + (1 - out ** 2) * np.add.outer(noise, noise)
    np.fill_diagonal(out, gram.diagonal() * scale ** 2)
    return out


def _bias(gram: np.ndarray, before: np.ndarray) -> np.ndarray:
    """d times what finite width takes off cosines: K_ij and K_ii vary together as in a Wishart matrix, less `before`.

        Cov(K_ij, K_kl) = (K_ik K_jl + K_il K_jk) / d - the same of `before`         (D-gram-width)
    """
    scale = 1 / np.sqrt(gram.diagonal())
    both = np.outer(scale, scale)
    cosine, old, left = gram * both, before * both, before.diagonal() * scale ** 2
    norms = 0.75 * np.add.outer(1 - left ** 2, 1 - left ** 2) + (cosine ** 2 - old ** 2) / 2
    return cosine * (norms - 2) + old * np.add.outer(left, left)


def _mean_cosine(cosine: np.ndarray) -> float:
    count = len(cosine)
    return float((cosine.sum() - np.trace(cosine)) / (count * (count - 1)))


def _received(m: Moments, keys: Keys) -> tuple[float, float]:
    score = float(m.first[keys.first].mean())
    return score, m.error * score


def _sink(m: Moments) -> tuple[float, float]:
    """Chance that a head's mean score on key 0 is above STRONG: a normal sum, and what its bounds leave open.

        Phi((mean - 0.3) / sd)                                                       (D-sink-chance)

    The bounds are those of Berry-Esseen, Cantelli and Bernstein, for independent scores from 0 to 1.
    """
    count, mean = len(m.first), float(m.first.mean())
    variance = float(np.maximum(m.first2 - m.first ** 2, 0).sum()) / count ** 2
    gap = mean - STRONG
    if variance < 1e-14:
        return float(gap > 0), 0.0 if abs(gap) > 1e-6 else 1.0
    chance = float(ndtr(gap / np.sqrt(variance)))
    tail = min(variance / (variance + gap ** 2), np.exp(-gap ** 2 / 2 / (variance + abs(gap) / 3 / count)))
    rest = chance if gap < 0 else 1 - chance                        # of the less likely side
    return chance, float(min(0.56 / (count * np.sqrt(variance)), max(tail - rest, rest)))
