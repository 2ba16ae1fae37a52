"""Random heads: the families of queries and keys that the literature names, each with its exact moments.

Each offers what `ensembles.Ensemble` asks, so noise and a sink go on top, and varies around a `Slash`
head q_, k_ (`lag`, `strength`); `FullGaussian` has means of its own. Sizes (`sigma_q`, ...) are
standard deviations of one real component; every component of every pair varies, rotated or not.
xi and eta are N(0, I) and independent. None appends a pair; all raise RopesimError for bad input.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .ensembles import Ensemble, Mean, Moments, Sample, Slash, real
from .errors import RopesimError, array, number, whole

Pair = tuple[np.ndarray, np.ndarray]
LIMITS: dict[str, tuple[Any, float, float]] = {
    **dict.fromkeys(("sigma", "sigma_q", "sigma_k", "step", "gain"), (number, 0, np.inf)),
    **dict.fromkeys(("correlation", "rho_q", "rho_k"), (number, -1, 1)),
    **dict.fromkeys(("cosine", "rate"), (number, 0, 1)), **dict.fromkeys(("pair", "weights_seed"), (whole, 0, np.inf)),
    **dict.fromkeys(("massive_q", "massive_k"), (number, -np.inf, np.inf)),
    **dict.fromkeys(("length", "period", "reach"), (whole, 1, np.inf)), "width": (whole, 2, np.inf)}


class _Drawn(Ensemble, Protocol):
    """A head that is its mean and deviations from it, of a power that depends on no length but its own."""

    def _deviations(self, length: int, theta: np.ndarray, rng: np.random.Generator) -> Pair:
        """What a sample adds to the mean: complex128[T, B] of the queries and of the keys."""

    def sample(self, length: int, rng: np.random.Generator, theta: np.ndarray) -> Sample:
        q, k = self.mean(theta)[:2]
        if not self.random:
            return np.tile(q, (length, 1)), np.tile(k, (length, 1)), theta
        of_q, of_k = self._deviations(length, theta, rng)
        return q + of_q, k + of_k, theta

    def power(self, theta: np.ndarray) -> tuple[float, float]:
        m = self.moments(getattr(self, "length", 1), theta)
        return float(m.q @ m.q + m.cov_q.trace()) / m.q.size, float(m.k @ m.k + m.cov_k.trace()) / m.k.size


@dataclass(frozen=True, kw_only=True)
class _Around(_Drawn):
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
class _Isotropic(_Around):
    """Deviations of one size on all components, those of the queries independent of those of the keys."""

    sigma_q: float
    sigma_k: float

    @property
    def random(self) -> bool:
        return self.sigma_q > 0 or self.sigma_k > 0

    def _independent(self, length: int) -> bool:
        return True

    def moments(self, length: int, theta: np.ndarray) -> Moments:
        return _isotropic(self.mean(theta), self.sigma_q ** 2, self.sigma_k ** 2, self._independent(length))


@dataclass(frozen=True, kw_only=True)
class Gaussian(_Isotropic):
    """Tokens drawn independently: normal queries and keys around a slash head.

    sigma_q, sigma_k >= 0; correlation in [-1, 1] between the components of a token's own query and
    key: content that a token finds in itself. Independent over tokens.

        q_i = q_ + sigma_q xi_i,   k_i = k_ + sigma_k (c xi_i + sqrt(1 - c^2) eta_i)   (E-gaussian)

    >>> Gaussian(sigma_q=1.0, sigma_k=0.5, correlation=0.5).moments(8, np.ones(1)).cross[0, 0]
    array([0.25, 0.  ])
    """

    correlation: float = 0.0

    def _deviations(self, length: int, theta: np.ndarray, rng: np.random.Generator) -> Pair:
        xi, eta = _normal(length, theta.size, rng), _normal(length, theta.size, rng)
        own = self.correlation * xi + np.sqrt(1 - self.correlation ** 2) * eta
        return self.sigma_q * xi, self.sigma_k * own

    def moments(self, length: int, theta: np.ndarray) -> Moments:
        cross = self.correlation * self.sigma_q * self.sigma_k * np.eye(2 * theta.size)
        return super().moments(length, theta)._replace(cross=cross[None])


@dataclass(frozen=True, eq=False)
class FullGaussian(_Drawn):
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
        return Moments(real(q), real(k), self.cov_q, self.cov_k, self.cross[None], True)


@dataclass(frozen=True, kw_only=True)
class Cone(_Around):
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
                       (size * of_k.T @ of_q)[None], True)


@dataclass(frozen=True, kw_only=True)
class Ar1(_Isotropic):
    """Queries and keys that drift and return: a stationary AR(1) process around a slash head.

    rho_q, rho_k in [-1, 1]: correlation of neighbouring tokens; sigma_q, sigma_k >= 0: the mean's share
    of the power is P / (P + sigma^2), P its mean square component. Queries are independent of keys.
    Source: TAPPA (q-similarity), the form is ours.

        x_0 = xi_0,   x_t = rho x_{t-1} + sqrt(1 - rho^2) xi_t,   q_t = q_ + sigma_q x_t   (E-ar1)

    >>> Ar1(rho_q=0.9, rho_k=0.5, sigma_q=1.0, sigma_k=1.0).moments(8, np.ones(1)).independent
    False
    """

    rho_q: float
    rho_k: float

    def _independent(self, length: int) -> bool:
        return not (self.rho_k and self.sigma_k) or length == 1

    def _deviations(self, length: int, theta: np.ndarray, rng: np.random.Generator) -> Pair:
        of_q = self.sigma_q * _ar1(self.rho_q, _normal(length, theta.size, rng))
        return of_q, self.sigma_k * _ar1(self.rho_k, _normal(length, theta.size, rng))


@dataclass(frozen=True, kw_only=True)
class RandomWalk(_Around):
    """Queries and keys that drift away: a random walk that starts at a slash head.

    step >= 0: standard deviation of one step of one component, as a fraction of the root mean square
    component of q_ (of k_) over pairs; length >= 1: tokens of the walk, over which `power` is taken; a
    sample may be shorter. Not stationary: moments are averaged over the rows. Source: TAPPA, Theorem
    5.2, with eps_q = step rms(q_) sqrt(2B); the moments are ours.

        q_0 = q_,   q_t = q_{t-1} + step rms(q_) xi_t   and so for k              (E-random-walk)

    >>> RandomWalk(step=1.0, length=3).power(np.ones(1))
    (1.0, 1.0)
    """

    step: float
    length: int

    @property
    def random(self) -> bool:
        return self.step > 0

    def _deviations(self, length: int, theta: np.ndarray, rng: np.random.Generator) -> Pair:
        whole("length", length, least=1, most=self.length)
        steps = np.stack([_normal(length, theta.size, rng) for _ in "qk"])
        steps[:, 0] = 0
        rms_q, rms_k = np.sqrt(Slash(self.lag, self.strength).power(theta))
        of_q, of_k = self.step * steps.cumsum(axis=1)
        return rms_q * of_q, rms_k * of_k

    def moments(self, length: int, theta: np.ndarray) -> Moments:
        q, k = Slash(self.lag, self.strength).power(theta)
        size = self.step ** 2 * (length - 1) / 2                         # t averages (T - 1) / 2
        return _isotropic(self.mean(theta), size * q, size * k, not size)


@dataclass(frozen=True, kw_only=True)
class Seasonal(_Isotropic):
    """Queries and keys that repeat every `period` tokens, each in a normal pattern around a slash head.

    period >= 1, whole; sigma_q, sigma_k >= 0: of the patterns, drawn anew for each sample,
    independently for queries and keys. `Noise` on top is what differs from period to period. Source:
    TAPPA, Theorem 5.4; the moments are ours.

        q_t = q_ + sigma_q x_{t mod L},   x_0, ..., x_{L-1} ~ N(0, I)             (E-seasonal)

    >>> Seasonal(period=2, sigma_q=1.0, sigma_k=1.0).moments(3, np.ones(1)).independent
    False
    """

    period: int

    def _independent(self, length: int) -> bool:
        return self.period >= length or not self.sigma_k

    def _deviations(self, length: int, theta: np.ndarray, rng: np.random.Generator) -> Pair:
        phase = np.arange(length) % self.period
        of_q = self.sigma_q * _normal(self.period, theta.size, rng)[phase]
        return of_q, self.sigma_k * _normal(self.period, theta.size, rng)[phase]


@dataclass(frozen=True, kw_only=True)
class Jumping(_Around):
    """A slash head that now and then retrieves: its query jumps to the content of one key, the needle.

    Keys have content c_j = sigma_k eta_j, sigma_k >= 0. In each row, independently, with probability
    `rate` in [0, 1], the query is gain >= 0 times the content of the needle, turned so that RoPE brings
    it into line: the logit there is gain |c|^2 on average. The needle is n tokens back, n uniform over
    the min(i + 1, reach) nearest keys, the own one included, so that no row differs in E q and power.
    Given a query, keys are dependent: one is its needle. Source: TAPPA's retrieval heads; the model is ours.

        k_j = k_ + c_j,   q_i = q_  or, with probability rate,  gain e^{-1j theta n} c_{i-n}   (E-jumping)

    >>> Jumping(rate=0.5, gain=2.0, sigma_k=1.0, reach=2).moments(2, np.ones(1)).cross[0, 0].round(12)
    array([ 0.75, -0.  ])
    """

    rate: float
    gain: float
    sigma_k: float
    reach: int = 64

    @property
    def random(self) -> bool:
        return self.sigma_k > 0 or 0 < self.rate < 1

    def mean(self, theta: np.ndarray) -> Mean:
        slash = super().mean(theta)
        return slash._replace(q=(1 - self.rate) * slash.q)

    def _deviations(self, length: int, theta: np.ndarray, rng: np.random.Generator) -> Pair:
        content, row = self.sigma_k * _normal(length, theta.size, rng), np.arange(length)
        jumps = rng.random(length) < self.rate
        back = rng.integers(np.minimum(row + 1, self.reach))
        needle = self.gain * np.exp(-1j * np.outer(back, theta)) * content[row - back]
        slash = Slash(self.lag, self.strength).mean(theta).q
        return np.where(jumps[:, None], needle, slash) - (1 - self.rate) * slash, content

    def moments(self, length: int, theta: np.ndarray) -> Moments:
        slash = real(Slash(self.lag, self.strength).mean(theta).q)
        of_k = self.sigma_k ** 2
        size, by_row = self.rate * self.gain * of_k, 1 / np.minimum(np.arange(length) + 1, self.reach)
        shares = (by_row[::-1].cumsum() / (np.arange(length) + 1))[::-1][:self.reach]       # means over rows i >= n
        cross = [size * share * _turned(n * theta) for n, share in enumerate(shares)]
        bare = _isotropic(self.mean(theta), size * self.gain, of_k, not size or len(cross) == 1)
        return bare._replace(cov_q=bare.cov_q + self.rate * (1 - self.rate) * np.outer(slash, slash),
                             cross=np.array(cross))


@dataclass(frozen=True, kw_only=True)
class Massive(_Isotropic):
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
        of_q = self.sigma_q * rest * _normal(length, theta.size, rng)
        return of_q, self.sigma_k * rest * _normal(length, theta.size, rng)

    def moments(self, length: int, theta: np.ndarray) -> Moments:
        bare, rest = super().moments(length, theta), np.tile(np.arange(theta.size) != self.pair, 2)
        return bare._replace(cov_q=bare.cov_q * rest, cov_k=bare.cov_k * rest)


def _normal(length: int, pairs: int, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((length, pairs, 2)).view(np.complex128)[..., 0]


def _ar1(rho: float, x: np.ndarray) -> np.ndarray:
    from scipy.signal import lfilter                     # heavy, and needed by this family alone
    x[1:] *= np.sqrt(1 - rho ** 2)
    return np.asarray(lfilter([1.0], [1.0, -rho], x, axis=0))


def _paired(x: np.ndarray) -> np.ndarray:               # undoes `real`
    return x[..., :x.shape[-1] // 2] + 1j * x[..., x.shape[-1] // 2:]


def _turned(angle: np.ndarray) -> np.ndarray:           # E[x y^T] for x ~ N(0, I) and y = e^{-1j angle} x
    cos, sin = np.diag(np.cos(angle)), np.diag(np.sin(angle))
    return np.block([[cos, -sin], [sin, cos]])


def _isotropic(mean: Mean, of_q: float, of_k: float, independent: bool) -> Moments:
    one = np.eye(2 * mean.q.size)
    return Moments(real(mean.q), real(mean.k), of_q * one, of_k * one, np.zeros((0, *one.shape)), independent)
