"""What goes around a head of `ensembles`, `gaussians` or `processes`: noise, a factor on the rotary pairs, a sink.

Each is again a head: it offers what `ensembles.Ensemble` asks. A sink appends a pair with theta = 0, which is why
`sample` hands theta back.
"""

from dataclasses import dataclass

import numpy as np

from .ensembles import Ensemble, Mean, Moments, Part, Sample
from .errors import RopesimError, number, whole


@dataclass(frozen=True)
class Noise:
    """A head with i.i.d. Gaussian noise on every real component of every query and key.

    noise >= 0: its standard deviation as a fraction of the root mean square component of the head's
    q (and of its k), over pairs and tokens. Raises RopesimError otherwise.

        q_i + noise rms(q) xi,   k_j + noise rms(k) eta,   xi, eta ~ N(0, I)      (E-noise)

    >>> from .ensembles import Slash
    >>> Noise(Slash(0, 2.0), 0.1).power(np.ones(1))
    (2.02, 0.505)
    """

    head: Ensemble
    noise: float

    def __post_init__(self) -> None:
        number("noise", self.noise, least=0)

    @property
    def random(self) -> bool:
        return self.noise > 0 or self.head.random

    def sample(self, length: int, rng: np.random.Generator, theta: np.ndarray) -> Sample:
        q, k, theta = self.head.sample(length, rng, theta)
        if not self.noise:
            return q, k, theta
        rms_q, rms_k = np.sqrt(self.head.power(theta))
        return (q + self.noise * rms_q * _normal(q.shape, rng), k + self.noise * rms_k * _normal(k.shape, rng), theta)

    def mean(self, theta: np.ndarray) -> Mean:
        return self.head.mean(theta)

    def moments(self, length: int, theta: np.ndarray) -> Moments:
        return self._added(self.head.moments(length, theta), theta)

    def parts(self, length: int, theta: np.ndarray) -> list[Part]:
        return [part._replace(moments=self._added(part.moments, theta)) for part in self.head.parts(length, theta)]

    def _added(self, m: Moments, theta: np.ndarray) -> Moments:
        (q, k), one = self.head.power(theta), self.noise ** 2 * np.eye(2 * theta.size)
        return m._replace(cov_q=m.cov_q + q * one, cov_k=m.cov_k + k * one)

    def power(self, theta: np.ndarray) -> tuple[float, float]:
        q, k = self.head.power(theta)
        return q * (1 + self.noise ** 2), k * (1 + self.noise ** 2)


@dataclass(frozen=True)
class Factor:
    """A head whose rotary pairs, the first `pairs` of q and k, are multiplied by `factor`.

    This is how an attention factor (YaRN, LongRoPE) acts: the rotary logits grow by its square.
    factor > 0; pairs: whole, >= 0. Raises RopesimError otherwise.

        q_b factor,  k_b factor  for b < pairs                                    (E-factor)

    >>> from .ensembles import Slash
    >>> Factor(Slash(0, 2.0), 3.0, 1).mean(np.ones(2)).q
    array([6.+0.j, 2.+0.j])
    """

    head: Ensemble
    factor: float
    pairs: int

    def __post_init__(self) -> None:
        if isinstance(self.head, Sink):
            raise RopesimError("head of a Factor", self.head, "put the Factor inside the Sink: the margin refers to it")
        number("factor", self.factor, above=0)
        whole("pairs", self.pairs, least=0)

    @property
    def random(self) -> bool:
        return self.head.random

    def _gain(self, pairs: int) -> np.ndarray:
        return gains(self.factor, self.pairs, pairs)

    def sample(self, length: int, rng: np.random.Generator, theta: np.ndarray) -> Sample:
        q, k, theta = self.head.sample(length, rng, theta)
        gain = self._gain(theta.size)
        return q * gain, k * gain, theta

    def mean(self, theta: np.ndarray) -> Mean:
        return amplified(self.head.mean(theta), self._gain(theta.size))

    def moments(self, length: int, theta: np.ndarray) -> Moments:
        return self._scaled(self.head.moments(length, theta))

    def parts(self, length: int, theta: np.ndarray) -> list[Part]:
        gain = np.tile(self._gain(theta.size), 2)
        parts = []
        for part in self.head.parts(length, theta):
            slow = part.slow
            if slow is not None:
                slow = slow._replace(root_k=slow.root_k * gain, cov_q=slow.cov_q * np.outer(gain, gain))
            parts.append(part._replace(moments=self._scaled(part.moments), slow=slow))
        return parts

    def _scaled(self, m: Moments) -> Moments:
        gain = np.tile(self._gain(m.q.size // 2), 2)
        both = np.outer(gain, gain)
        return m._replace(q=m.q * gain, k=m.k * gain, cov_q=m.cov_q * both, cov_k=m.cov_k * both, cross=m.cross * both)

    def power(self, theta: np.ndarray) -> tuple[float, float]:
        raise RopesimError("head of a Noise", self, "put the Noise inside the Factor: its size refers to the bare head")


def gains(factor: np.ndarray | float, pairs: np.ndarray | int, size: int) -> np.ndarray:
    """What a Factor multiplies each of `size` pairs by; factor and pairs float64[N, 1] give those of N.

    >>> gains(3.0, 1, 2)
    array([3., 1.])
    """
    return np.where(np.arange(size) < pairs, factor, 1.0)


def amplified(mean: Mean, gain: np.ndarray) -> Mean:
    """A mean with its queries and keys, the first one too, multiplied by `gain`, float64[B] or [N, B].

    >>> amplified(Mean(np.ones(1), np.ones(1)), np.array([2.0])).k
    array([2.])
    """
    first = None if mean.first_key is None else mean.first_key * gain
    return mean._replace(q=mean.q * gain, k=mean.k * gain, first_key=first)


@dataclass(frozen=True)
class Sink:
    """A head whose key 0 is a sink: its logit exceeds the others' log-mean-exp by `margin`.

    margin: finite, in nats. scale > 0 multiplies the logits later (the run's scale), so the stored
    queries are divided by it. One pair with theta = 0 is appended; key 0 is zero on all others.
    Raises RopesimError otherwise. In row i >= 1, with the logits l of the mean head,

        logit(i, 0) = margin + log( 1/i sum_{n < i} e^{l_n} ),   logit(0, 0) = 0  (E-sink)

    >>> from .ensembles import Slash
    >>> q, k, theta = Sink(Slash(0, 0.0), margin=4.0).sample(3, None, np.ones(1))
    >>> q[:, 1].real, k[:, 1].real
    (array([0., 4., 4.]), array([1., 0., 0.]))
    """

    head: Ensemble
    margin: float
    scale: float = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.head, Sink):
            raise RopesimError("head of a Sink", self.head, "use one sink")
        number("margin", self.margin)
        number("scale", self.scale, above=0)

    @property
    def random(self) -> bool:
        return self.head.random

    def sample(self, length: int, rng: np.random.Generator, theta: np.ndarray) -> Sample:
        q, k, theta = self.head.sample(length, rng, theta)
        q, k = (np.pad(x, ((0, 0), (0, 1))) for x in (q, k))
        k[0] = 0
        k[0, -1] = 1
        q[:, -1] = self._logits(length, theta) / self.scale
        return q, k, np.append(theta, 0.0)

    def _logits(self, length: int, theta: np.ndarray) -> np.ndarray:
        mean = self.head.mean(theta)
        product = self.scale * mean.q * mean.k.conj()
        lags = np.arange(length - 1)
        blocks = np.array_split(lags, max(length * theta.size >> 22, 1))   # bounds the memory: T x B at most 2**22
        logits = np.concatenate([np.cos(np.outer(n, theta) + np.angle(product)) @ np.abs(product) for n in blocks])
        return np.append(0.0, self.margin + np.logaddexp.accumulate(logits) - np.log(lags + 1))

    def mean(self, theta: np.ndarray) -> Mean:
        return self.head.mean(theta)._replace(margin=self.margin)

    def moments(self, length: int, theta: np.ndarray) -> Moments:
        return self.head.moments(length, theta)

    def parts(self, length: int, theta: np.ndarray) -> list[Part]:
        return self.head.parts(length, theta)

    def power(self, theta: np.ndarray) -> tuple[float, float]:
        raise RopesimError("head of a Noise", self, "put the Noise inside the Sink: a sink carries none")


def _normal(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((*shape, 2)).view(np.complex128)[..., 0]
