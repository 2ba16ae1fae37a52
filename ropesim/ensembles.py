"""Heads as distributions over queries and keys: draw them, or ask for their means.

An ensemble offers `sample(length, rng, theta) -> (q, k, theta)`, complex128[T, B] before RoPE, and
`mean(theta)`. `Constant`, `Slash` and `Captured` are whole heads; `Noise`, `Factor` and `Sink` wrap
one. A sink appends a pair with theta = 0, which is why theta comes back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from .errors import RopesimError, array, number, whole

Sample = tuple[np.ndarray, np.ndarray, np.ndarray]


class Mean(NamedTuple):
    """Expected query and key of a head, complex128[B], and what is special about key 0."""

    q: np.ndarray
    k: np.ndarray
    first_key: np.ndarray | None = None   # key 0, where it differs from the others' mean
    margin: float | None = None           # margin of a sink at key 0, see `Sink`


class Moments(NamedTuple):
    """First and second moments of queries and keys as real vectors, see `real`: the pairs' real parts, then imaginary.

    q, k: float64[2B]; cov_q, cov_k: float64[2B, 2B]; cross: float64[N, 2B, 2B], Cov(k_{i-n}, q_i) at
    the lags n < N, zero beyond. Non-stationary heads are averaged over the rows of a context.
    """

    q: np.ndarray
    k: np.ndarray
    cov_q: np.ndarray
    cov_k: np.ndarray
    cross: np.ndarray


class Slow(NamedTuple):
    """What the keys of a row share besides their mean, and how queries drift.

    path maps normal deviates float64[size, 2B] to the shared part of the keys, float64[T, 2B] by
    position, in units of root_k, float64[2B]; Cov q_i gains drift[i] cov_q, drift: float64[T].
    """

    size: int
    path: Callable[[np.ndarray], np.ndarray]
    root_k: np.ndarray
    drift: np.ndarray
    cov_q: np.ndarray


class Part(NamedTuple):
    """A kind of row that a head has: given its query, and `slow` if there is one, its keys are independent.

    share: float64[T], the probability that row i is of this kind; moments: of these rows, without
    what `slow` adds; nearest: the lag at which moments.cross begins. A head is a list of such.
    """

    share: np.ndarray
    moments: Moments
    nearest: int = 0
    slow: Slow | None = None


class Ensemble(Protocol):
    """What every head offers."""

    @property
    def random(self) -> bool:
        """Whether two samples differ."""

    def sample(self, length: int, rng: np.random.Generator, theta: np.ndarray) -> Sample:
        """Queries and keys of `length` tokens before RoPE, and the frequencies that go with them."""

    def mean(self, theta: np.ndarray) -> Mean:
        """Expected query and key, and key 0."""

    def moments(self, length: int, theta: np.ndarray) -> Moments:
        """Means and covariances of queries and keys over a context of `length` tokens, without the sink."""

    def parts(self, length: int, theta: np.ndarray) -> list[Part]:
        """The kinds of rows in a context of `length` tokens, without the sink."""

    def power(self, theta: np.ndarray) -> tuple[float, float]:
        """Mean square of a real component of q and of k, over pairs and tokens."""


class _Fixed:
    """A head whose every query is mean.q and every key mean.k."""

    random = False

    def mean(self, theta: np.ndarray) -> Mean:
        raise NotImplementedError

    def sample(self, length: int, rng: np.random.Generator, theta: np.ndarray) -> Sample:
        q, k = self.mean(theta)[:2]
        return np.tile(q, (length, 1)), np.tile(k, (length, 1)), theta

    def moments(self, length: int, theta: np.ndarray) -> Moments:
        q, k = self.mean(theta)[:2]
        none = np.zeros((2 * q.size, 2 * q.size))
        return Moments(real(q), real(k), none, none, np.zeros((0, *none.shape)))

    def parts(self, length: int, theta: np.ndarray) -> list[Part]:
        return [Part(np.ones(length), self.moments(length, theta))]

    def power(self, theta: np.ndarray) -> tuple[float, float]:
        q, k = self.mean(theta)[:2]
        return _power(q), _power(k)


@dataclass(frozen=True)
class Constant(_Fixed):
    """The same query and the same key at every token: q_b = amplitude_b e^{1j phase_b}, k_b = 1.

    amplitude >= 0 and phase (rad): one per pair, any sequences of equal length. Raises RopesimError
    otherwise.

        logit(lag) = sum_b amplitude_b cos(theta_b lag + phase_b)                 (A-lag)

    >>> Constant([1.0], [0.5]).mean(np.ones(1)).k
    array([1.+0.j])
    """

    amplitude: tuple[float, ...]
    phase: tuple[float, ...]

    def __post_init__(self) -> None:
        amplitude = array("amplitude", self.amplitude, [None])
        phase = array("phase", self.phase, [amplitude.size])
        if (amplitude < 0).any():
            raise RopesimError("amplitude", amplitude.min(), "use amplitudes from 0 on; the phase holds the sign")
        object.__setattr__(self, "amplitude", tuple(amplitude.tolist()))
        object.__setattr__(self, "phase", tuple(phase.tolist()))

    def mean(self, theta: np.ndarray) -> Mean:
        if len(self.amplitude) != theta.size:
            raise RopesimError("number of amplitudes", len(self.amplitude), f"use one per pair: {theta.size}")
        return Mean(np.array(self.amplitude) * np.exp(1j * np.array(self.phase)), np.ones(theta.size, complex))


@dataclass(frozen=True)
class Slash(_Fixed):
    """A head that looks `lag` tokens back: q_b = strength e^{-1j theta_b lag}, k_b = 1 where theta_b != 0.

    lag: whole, >= 0; strength: >= 0. Raises RopesimError otherwise. Unrotated pairs stay empty.

        logit(x) = strength sum_b cos(theta_b (x - lag))                          (E-slash)

    Source: Cheng et al. 2026 (2601.08297), section 5; the synthesis from the peak gap is ours.

    >>> Slash(lag=2, strength=3.0).mean(np.array([np.pi / 4, 0.0])).q.round(12)
    array([0.-3.j, 0.+0.j])
    """

    lag: int
    strength: float

    def __post_init__(self) -> None:
        whole("lag", self.lag, least=0)
        number("strength", self.strength, least=0)

    def mean(self, theta: np.ndarray) -> Mean:
        rotated = theta != 0
        return Mean(self.strength * np.exp(-1j * theta * self.lag) * rotated, rotated.astype(complex))


@dataclass(frozen=True, eq=False)
class Captured:
    """The recorded queries and keys of a real head; its means stand for it, and key 0 is the sink.

    q, k: complex128[T, B] before RoPE. Means are taken over the positions >= 1; key 0 is kept as it
    is (a single token is its own mean). Raises RopesimError for other shapes.

        q_ = mean_{i >= 1} q_i,   k_ = mean_{j >= 1} k_j,   first key = k_0       (E-captured)

    >>> Captured(np.ones((3, 1)), np.array([[5.0], [1.0], [3.0]])).mean(np.ones(1)).k
    array([2.+0.j])
    """

    q: np.ndarray
    k: np.ndarray
    random = False

    def __post_init__(self) -> None:
        q = array("q", self.q, [None, None], np.complex128).copy()
        k = array("k", self.k, q.shape, np.complex128).copy()
        if not q.size:
            raise RopesimError("shape of q", q.shape, "use at least one token and one pair")
        for name, value in (("q", q), ("k", k)):
            value.flags.writeable = False
            object.__setattr__(self, name, value)

    def sample(self, length: int, rng: np.random.Generator, theta: np.ndarray) -> Sample:
        whole("length", length, least=1, most=len(self.q))
        return self.q[:length], self.k[:length], theta

    def mean(self, theta: np.ndarray) -> Mean:
        array("theta", theta, [self.q.shape[1]])
        rest = slice(min(1, len(self.q) - 1), None)
        return Mean(self.q[rest].mean(axis=0), self.k[rest].mean(axis=0), first_key=self.k[0])

    def moments(self, length: int, theta: np.ndarray) -> Moments:
        rest = slice(min(1, length - 1), length)
        q, k = real(self.q[rest]), real(self.k[rest])
        dq, dk = q - q.mean(axis=0), k - k.mean(axis=0)
        cross = [dk[:len(dk) - n].T @ dq[n:] / (len(dk) - n) for n in range(min(8, len(dk)))]
        return Moments(q.mean(axis=0), k.mean(axis=0), dq.T @ dq / len(dq), dk.T @ dk / len(dk), np.array(cross))

    def parts(self, length: int, theta: np.ndarray) -> list[Part]:
        return [Part(np.ones(length), self.moments(length, theta))]

    def power(self, theta: np.ndarray) -> tuple[float, float]:
        return _power(self.q), _power(self.k)


@dataclass(frozen=True)
class Noise:
    """A head with i.i.d. Gaussian noise on every real component of every query and key.

    noise >= 0: its standard deviation as a fraction of the root mean square component of the head's
    q (and of its k), over pairs and tokens. Raises RopesimError otherwise.

        q_i + noise rms(q) xi,   k_j + noise rms(k) eta,   xi, eta ~ N(0, I)      (E-noise)

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
        return np.where(np.arange(pairs) < self.pairs, self.factor, 1.0)

    def sample(self, length: int, rng: np.random.Generator, theta: np.ndarray) -> Sample:
        q, k, theta = self.head.sample(length, rng, theta)
        gain = self._gain(theta.size)
        return q * gain, k * gain, theta

    def mean(self, theta: np.ndarray) -> Mean:
        mean, gain = self.head.mean(theta), self._gain(theta.size)
        first = None if mean.first_key is None else mean.first_key * gain
        return mean._replace(q=mean.q * gain, k=mean.k * gain, first_key=first)

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


@dataclass(frozen=True)
class Sink:
    """A head whose key 0 is a sink: its logit exceeds the others' log-mean-exp by `margin`.

    margin: finite, in nats. scale > 0 multiplies the logits later (the run's scale), so the stored
    queries are divided by it. One pair with theta = 0 is appended; key 0 is zero on all others.
    Raises RopesimError otherwise. In row i >= 1, with the logits l of the mean head,

        logit(i, 0) = margin + log( 1/i sum_{n < i} e^{l_n} ),   logit(0, 0) = 0  (E-sink)

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


def real(x: np.ndarray) -> np.ndarray:
    """Complex pairs [..., B] as real vectors [..., 2B]: the real parts, then the imaginary parts.

    >>> real(np.array([1 + 3j, 2 + 4j]))
    array([1., 2., 3., 4.])
    """
    return np.concatenate([x.real, x.imag], axis=-1)


def _power(x: np.ndarray) -> float:
    return float(np.mean(x.real ** 2 + x.imag ** 2) / 2)


def _normal(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((*shape, 2)).view(np.complex128)[..., 0]
