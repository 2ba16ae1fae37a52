"""The chain from the variance of an aggregated value to a sink in the next layer, by brute force over sequences."""

import numpy as np

from ..errors import whole
from ..stacks import Chain

BATCH = 32      # sequences at a time, some megabytes; each batch is centred on its own mean


def run(chain: Chain, samples: int, seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Mean over sequences and its standard error of every stage, by position, float64[T] each.

    samples: sequences, at least 2; seed: whole number >= 0, the same draws for every intervention. Raises RopesimError
    otherwise. The stages: `variance`, of a coordinate of the aggregated value about the mean of its batch, mean over
    coordinates; `energy`, mean square in the subspace after the first norm; `dominance`, largest over mean size of a
    coordinate after the feed-forward; `key`, cosine of the normalised state and the channel; `received`, mean score of
    the key over the rows that see it.

        o_i = mean_{j<=i} v_j,   h_i = o_i + residual e_i,   then (D-chain)                     (D-chain-aggregate)

    Source: sinks.md R18, after Li et al. 2026 (2605.06611).

    >>> mean, stderr = run(Chain(length=8, lock=0.0), 40, 0)["received"]
    >>> round(float(mean[0]), 4), float(stderr[0]) < 1e-12
    (0.3397, True)
    """
    samples, seed = whole("samples", samples, least=2), whole("seed", seed, least=0)
    values, residuals = (np.random.default_rng(s) for s in np.random.SeedSequence(seed, spawn_key=(0,)).spawn(2))
    sizes = [len(part) for part in np.array_split(np.empty(samples), -(-samples // BATCH))]
    found = [stages(chain, *(rng.standard_normal((n, chain.length, chain.width)) for rng in (values, residuals)))
             for n in sizes]
    drawn = {name: np.concatenate([batch[name] for batch in found]) for name in found[0]}
    return {name: (x.mean(axis=0), x.std(axis=0, ddof=1) / np.sqrt(samples)) for name, x in drawn.items()}


def stages(chain: Chain, noise: np.ndarray, residual: np.ndarray) -> dict[str, np.ndarray]:
    """The stages of each sequence of a batch, float64[samples, T].

    noise, residual: standard normal numbers float64[samples, T, d], samples >= 2; not checked.

    >>> noise = np.array([[[-1.0, 0.0, 0.0]], [[1.0, 0.0, 0.0]]])
    >>> stages(Chain(length=1, width=3, subspace=1, residual=0.0, spread=3.0), noise, noise)["variance"]
    array([[6.],
           [6.]])
    """
    count = len(noise)
    out = aggregated(chain, noise)
    centred = out - out.mean(axis=0)
    variance = np.einsum("bic,bic->bi", centred, centred) / chain.width * (count / (count - 1))
    state = out + chain.residual * residual
    inside = normed(state)[..., :chain.subspace]
    square = np.einsum("bic,bic->bi", inside, inside)
    state[..., -1] += chain.amplification * square
    size = np.abs(state)
    key = normed(state)[..., -1]
    return {"variance": variance, "energy": square / chain.subspace, "dominance": size.max(-1) / size.mean(-1),
            "key": key / np.sqrt(chain.width), "received": received(chain.lock * key)}


def mean_value(chain: Chain) -> np.ndarray:
    """Mean of a value, float64[d]: none in the subspace, which comes first, and in the channel, which is last.

    >>> mean_value(Chain(width=4, subspace=1))
    array([0., 2., 2., 0.])
    """
    mean = np.full(chain.width, float(chain.mean))
    mean[:chain.subspace] = 0
    mean[-1] = 0
    return mean


def aggregated(chain: Chain, noise: np.ndarray) -> np.ndarray:
    """What layer 1 gives each position, with the intervention, for standard normal noise float64[samples, T, d].

    >>> aggregated(Chain(length=2, width=3, subspace=1, mean=1.0, intervene="mask", at=1), np.zeros((1, 2, 3)))[0]
    array([[0., 1., 0.],
           [0., 1., 0.]])
    """
    mean, k = mean_value(chain), chain.at
    value = noise * np.where(np.arange(chain.width) < chain.subspace, chain.spread, 1.0)
    value += mean
    out = np.cumsum(value, axis=1)
    out /= np.arange(1.0, chain.length + 1)[:, None]
    if chain.intervene == "mask":
        out[:, k] = value[:, k]
    elif chain.intervene == "amplify":
        out[:, k] = mean + chain.factor * (out[:, k] - mean)
    elif chain.intervene == "scale":
        out[:, k] *= chain.factor
    elif chain.intervene == "headnorm":
        out = normed(out)
    return out


def normed(x: np.ndarray) -> np.ndarray:
    """x over its root mean square in the last axis; zeros stay zeros.

    >>> normed(np.array([3.0, 3.0]))
    array([1., 1.])
    """
    square = np.einsum("...c,...c->...", x, x)[..., None] / x.shape[-1]
    return x / np.sqrt(np.where(square > 0, square, 1.0))


def received(logits: np.ndarray) -> np.ndarray:
    """Mean score of each key over the rows that see it, float64[samples, T], where all rows give a key the same logit.

    >>> received(np.zeros((1, 2)))
    array([[0.75, 0.5 ]])
    """
    sums = np.logaddexp.accumulate(logits, axis=1)
    tails = np.logaddexp.accumulate(-sums[:, ::-1], axis=1)[:, ::-1]
    return np.exp(logits + tails) / np.arange(logits.shape[1], 0, -1)
