"""Random heads whose tokens are drawn one by one: normal, in a cone, with a massive channel; exact moments.

Each offers what `ensembles.Ensemble` asks, so noise and a sink go on top, and varies around a `Slash`
head q_, k_ (`lag`, `strength`); `FullGaussian` has means of its own. Sizes (`sigma_q`, ...) are
standard deviations of one real component; every component of every pair varies, rotated or not.
xi and eta are N(0, I) and independent. None appends a pair; all raise RopesimError for bad input.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .ensembles import Ensemble, Mean, Moments, Part, Sample, Slash, real
from .errors import RopesimError, array, number, whole

Pair = tuple[np.ndarray, np.ndarray]
LIMITS: dict[str, tuple[Any, float, float]] = {
    **dict.fromkeys(("sigma", "sigma_q", "sigma_k", "step", "gain"), (number, 0, np.inf)),
    **dict.fromkeys(("correlation", "rho_q", "rho_k"), (number, -1, 1)),
    **dict.fromkeys(("cosine", "rate"), (number, 0, 1)), **dict.fromkeys(("pair", "weights_seed"), (whole, 0, np.inf)),
    **dict.fromkeys(("massive_q", "massive_k"), (number, -np.inf, np.inf)),
    **dict.fromkeys(("length", "period", "reach"), (whole, 1, np.inf)), "width": (whole, 2, np.inf)}


class Drawn(Ensemble, Protocol):
    """A head that is its mean and deviations from it, of a power that depends on no length but its own."""

    def _deviations(self, length: int, theta: np.ndarray, rng: np.random.Generator) -> Pair:
        """What a sample adds to the mean: complex128[T, B] of the queries and of the keys."""

    def sample(self, length: int, rng: np.random.Generator, theta: np.ndarray) -> Sample:
        q, k = self.mean(theta)[:2]
        if not self.random:
            return np.tile(q, (length, 1)), np.tile(k, (length, 1)), theta
        of_q, of_k = self._deviations(length, theta, rng)
        return q + of_q, k + of_k, theta

    def parts(self, length: int, theta: np.ndarray) -> list[Part]:
        return [Part(np.ones(length), self.moments(length, theta))]

    def power(self, theta: np.ndarray) -> tuple[float, float]:
        m = self.moments(getattr(self, "length", 1), theta)
        return float(m.q @ m.q + m.cov_q.trace()) / m.q.size, float(m.k @ m.k + m.cov_k.trace()) / m.k.size


@dataclass(frozen=True, kw_only=True)
class Around(Drawn):
    """A head around the mean of a slash head."""

    lag: int = 0
    strength: float = 1.0

    def __post_init__(self) -> None:
        Slash(self.lag, self.strength)
        for name in [name for name in LIMITS if name in vars(self)]:
            check, least, most = LIMITS[name]
            check(name, getattr(self, name), least=least, most=most)

    def mean(self, theta: np.ndarray) -> Mean:
        return Slash(self.lag, self.strength).mean(theta)


@dataclass(frozen=True, kw_only=True)
class Isotropic(Around):
    """Deviations of one size on all components, those of the queries independent of those of the keys."""

    sigma_q: float
    sigma_k: float

    @property
    def random(self) -> bool:
        return self.sigma_q > 0 or self.sigma_k > 0

    def moments(self, length: int, theta: np.ndarray) -> Moments:
        return isotropic(self.mean(theta), self.sigma_q ** 2, self.sigma_k ** 2)


@dataclass(frozen=True, kw_only=True)
class Gaussian(Isotropic):
    """Tokens drawn independently: normal queries and keys around a slash head.

    sigma_q, sigma_k >= 0; correlation in [-1, 1] between the components of a token's own query and
    key: content that a token finds in itself. Independent over tokens.

        q_i = q_ + sigma_q xi_i,   k_i = k_ + sigma_k (c xi_i + sqrt(1 - c^2) eta_i)   (E-gaussian)

    >>> Gaussian(sigma_q=1.0, sigma_k=0.5, correlation=0.5).moments(8, np.ones(1)).cross[0, 0]
    array([0.25, 0.  ])
    """

    correlation: float = 0.0

    def _deviations(self, length: int, theta: np.ndarray, rng: np.random.Generator) -> Pair:
        xi, eta = normal(length, theta.size, rng), normal(length, theta.size, rng)
        own = self.correlation * xi + np.sqrt(1 - self.correlation ** 2) * eta
        return self.sigma_q * xi, self.sigma_k * own

    def moments(self, length: int, theta: np.ndarray) -> Moments:
        cross = self.correlation * self.sigma_q * self.sigma_k * np.eye(2 * theta.size)
        return super().moments(length, theta)._replace(cross=cross[None])


@dataclass(frozen=True, eq=False)
class FullGaussian(Drawn):
    """Tokens drawn independently from any joint normal distribution of query and key.

    mean_q, mean_k: complex128[B]; cov_q, cov_k, cross = Cov(k, q): float64[2B, 2B], in the order of
    `real`; copied and read-only. Raises RopesimError for other shapes, and unless the joint covariance
    is symmetric and positive semi-definite (to 1e-10 of its largest eigenvalue).

        (q_i, k_i) ~ N((q_, k_), ((cov_q, cross^T), (cross, cov_k)))              (E-gaussian)

    >>> FullGaussian([1], [1], np.eye(2), 3 * np.eye(2), np.eye(2)).power(np.ones(1))
    (1.5, 3.5)
    """

    mean_q: np.ndarray
    mean_k: np.ndarray
    cov_q: np.ndarray
    cov_k: np.ndarray
    cross: np.ndarray

    def __post_init__(self) -> None:
        mean_q = array("mean_q", self.mean_q, [None], np.complex128)
        if not mean_q.size:
            raise RopesimError("shape of mean_q", mean_q.shape, "use at least one pair")
        square = [2 * mean_q.size] * 2
        checked = {"mean_q": mean_q, "mean_k": array("mean_k", self.mean_k, mean_q.shape, np.complex128),
                   **{name: array(name, getattr(self, name), square) for name in ("cov_q", "cov_k", "cross")}}
        for name, value in checked.items():
            value = value.copy()
            value.flags.writeable = False
            object.__setattr__(self, name, value)
            if name.startswith("cov") and np.abs(value - value.T).max() > 1e-10 * np.abs(value).max():
                raise RopesimError(name, value.tolist(), "use a symmetric matrix")
        eigenvalues = np.linalg.eigvalsh(self._joint())
        if eigenvalues[0] < -1e-10 * eigenvalues[-1]:
            raise RopesimError("smallest eigenvalue of the joint covariance", eigenvalues[0].round(12), "use cov_q, "
                               "cov_k and cross of which ((cov_q, cross.T), (cross, cov_k)) has no negative one")

    def _joint(self) -> np.ndarray:
        return np.block([[self.cov_q, self.cross.T], [self.cross, self.cov_k]])

    @property
    def random(self) -> bool:
        return bool(self.cov_q.any() or self.cov_k.any())

    def mean(self, theta: np.ndarray) -> Mean:
        array("theta", theta, self.mean_q.shape)
        return Mean(self.mean_q, self.mean_k)

    def _deviations(self, length: int, theta: np.ndarray, rng: np.random.Generator) -> Pair:
        value, vector = np.linalg.eigh(self._joint())
        drawn = rng.standard_normal((length, value.size)) * np.sqrt(np.maximum(value, 0)) @ vector.T
        return _paired(drawn[:, :len(self.cov_q)]), _paired(drawn[:, len(self.cov_q):])

    def moments(self, length: int, theta: np.ndarray) -> Moments:
        q, k = self.mean(theta)[:2]
        return Moments(real(q), real(k), self.cov_q, self.cov_k, self.cross[None])


@dataclass(frozen=True, kw_only=True)
class Cone(Around):
    """Tokens in a cone around one direction, projected by weights that plant a slash head on it.

    cosine c in [0, 1] of every token to the axis v; width >= 2 of the tokens; sigma >= 0: W0 has
    entries N(0, sigma^2 / width), drawn from weights_seed and not from the sample's generator, so that
    mean and moments are those of these weights. w = real(q_) (real(k_)): c^2 strength per pair at lag.
    Source: Cheng et al. 2026 (2601.08297), section 5 (cone), with g = |w|; moments ours.

        h = c v + sqrt(1 - c^2) u,   u uniform on the unit sphere orthogonal to v
        W = W0 + v w^T,   (q, k) = (W_q^T h, W_k^T h)                             (E-cone)

    >>> Cone(cosine=1.0, sigma=0.0, lag=1).mean(np.array([np.pi])).q.round(12)
    array([-1.-0.j])
    """

    cosine: float
    width: int = 512
    sigma: float = 1.0
    weights_seed: int = 0

    @property
    def random(self) -> bool:
        return self.cosine < 1 and self.sigma > 0

    def _weights(self, pairs: int) -> np.ndarray:
        """W0 of q and of k, float64[2, width, 2B], in a basis of token space whose first vector is v."""
        rng = np.random.default_rng(self.weights_seed)
        return self.sigma / np.sqrt(self.width) * rng.standard_normal((2, self.width, 2 * pairs))

    def mean(self, theta: np.ndarray) -> Mean:
        planted, weights = super().mean(theta), self._weights(theta.size)
        of_q, of_k = self.cosine * _paired(weights[:, 0])
        return Mean(self.cosine * planted.q + of_q, self.cosine * planted.k + of_k)

    def _deviations(self, length: int, theta: np.ndarray, rng: np.random.Generator) -> Pair:
        u = rng.standard_normal((length, self.width - 1))
        u *= np.sqrt(1 - self.cosine ** 2) / np.linalg.norm(u, axis=1, keepdims=True)
        of_q, of_k = (_paired(u @ w0[1:]) for w0 in self._weights(theta.size))
        return of_q, of_k

    def moments(self, length: int, theta: np.ndarray) -> Moments:
        mean = self.mean(theta)
        of_q, of_k = self._weights(theta.size)[:, 1:]
        size = (1 - self.cosine ** 2) / (self.width - 1)                 # Cov u = (I - v v^T) / (width - 1)
        return Moments(real(mean.q), real(mean.k), size * of_q.T @ of_q, size * of_k.T @ of_k,
                       (size * of_k.T @ of_q)[None])


@dataclass(frozen=True, kw_only=True)
class Massive(Isotropic):
    """A head with one massive channel: a pair that is constant and large, the others random.

    pair >= 0: which of the existing pairs; massive_q, massive_k: its query and key in place of the
    slash head's, real and constant; sigma_q, sigma_k >= 0: of all other pairs. A channel that turns
    slowly hardly moves the scores, and yet hides how random the queries are. Source: TAPPA.

        q_pair = massive_q,   k_pair = massive_k,   others q_ + sigma_q xi,  k_ + sigma_k eta   (E-massive)

    >>> Massive(massive_q=9.0, massive_k=5.0, pair=1, sigma_q=1.0, sigma_k=1.0).mean(np.ones(2)).q
    array([1.+0.j, 9.+0.j])
    """

    massive_q: float
    massive_k: float
    pair: int

    def mean(self, theta: np.ndarray) -> Mean:
        whole("pair", self.pair, least=0, most=theta.size - 1)
        slash, here = super().mean(theta), np.arange(theta.size) == self.pair
        return Mean(np.where(here, self.massive_q, slash.q), np.where(here, self.massive_k, slash.k))

    def _deviations(self, length: int, theta: np.ndarray, rng: np.random.Generator) -> Pair:
        rest = np.arange(theta.size) != self.pair
        of_q = self.sigma_q * rest * normal(length, theta.size, rng)
        return of_q, self.sigma_k * rest * normal(length, theta.size, rng)

    def moments(self, length: int, theta: np.ndarray) -> Moments:
        bare, rest = super().moments(length, theta), np.tile(np.arange(theta.size) != self.pair, 2)
        return bare._replace(cov_q=bare.cov_q * rest, cov_k=bare.cov_k * rest)


def normal(length: int, pairs: int, rng: np.random.Generator) -> np.ndarray:
    """Complex pairs of independent standard normal components, complex128[length, pairs].

    >>> normal(3, 2, np.random.default_rng(0)).shape
    (3, 2)
    """
    return rng.standard_normal((length, pairs, 2)).view(np.complex128)[..., 0]


def isotropic(mean: Mean, of_q: float, of_k: float) -> Moments:
    """Moments with variances of_q and of_k on all components, and nothing else.

    >>> isotropic(Mean(np.zeros(1), np.ones(1)), 2.0, 3.0).cov_k
    array([[3., 0.],
           [0., 3.]])
    """
    one = np.eye(2 * mean.q.size)
    return Moments(real(mean.q), real(mean.k), of_q * one, of_k * one, np.zeros((0, *one.shape)))


def _paired(x: np.ndarray) -> np.ndarray:               # undoes `real`
    return x[..., :x.shape[-1] // 2] + 1j * x[..., x.shape[-1] // 2:]
