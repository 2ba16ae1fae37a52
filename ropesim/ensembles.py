"""Heads as distributions over queries and keys: draw them, or ask for their means.

An ensemble offers `sample(length, rng, theta) -> (q, k, theta)`, complex128[T, B] before RoPE, and
`mean(theta)`. `Constant`, `Slash` and `Captured` are whole heads; what goes around one is in
`wrappers`. A sink there appends a pair with theta = 0, which is why theta comes back.
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
    margin: float | None = None           # margin of a sink at key 0, see `wrappers.Sink`


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
        return slashes(self.lag, self.strength, theta)


def slashes(lag: np.ndarray | int, strength: np.ndarray | float, theta: np.ndarray) -> Mean:
    """The mean of a Slash, or of N: lag and strength float64[N, 1] give q complex128[N, B], and one k for all.

    >>> slashes(np.array([[0.0], [2.0]]), np.array([[1.0], [3.0]]), np.array([np.pi / 4])).q.round(12)
    array([[1.+0.j],
           [0.-3.j]])
    """
    rotated = theta != 0
    return Mean(strength * np.exp(-1j * theta * lag) * rotated, rotated.astype(complex))


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


def real(x: np.ndarray) -> np.ndarray:
    """Complex pairs [..., B] as real vectors [..., 2B]: the real parts, then the imaginary parts.

    >>> real(np.array([1 + 3j, 2 + 4j]))
    array([1., 2., 3., 4.])
    """
    return np.concatenate([x.real, x.imag], axis=-1)


def _power(x: np.ndarray) -> float:
    return float(np.mean(x.real ** 2 + x.imag ** 2) / 2)
