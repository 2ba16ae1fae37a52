"""Random heads whose tokens remember: AR(1), random walk, seasonal, jumping queries; each with its exact moments.

What `gaussians` says of its heads holds for these. Their keys depend on each other, or on the query of
another row; `parts` says given what they do not.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .ensembles import Mean, Moments, Part, Slash, Slow, real
from .errors import whole
from .gaussians import Around, Isotropic, Pair, isotropic, normal


@dataclass(frozen=True, kw_only=True)
class Ar1(Isotropic):
    """Queries and keys that drift and return: a stationary AR(1) process around a slash head.

    rho_q, rho_k in [-1, 1]: correlation of neighbouring tokens; sigma_q, sigma_k >= 0: the mean's share
    of the power is P / (P + sigma^2), P its mean square component. Queries are independent of keys.
    Source: TAPPA (q-similarity), the form is ours.

        x_0 = xi_0,   x_t = rho x_{t-1} + sqrt(1 - rho^2) xi_t,   q_t = q_ + sigma_q x_t   (E-ar1)

    >>> Ar1(rho_q=0.9, rho_k=1.0, sigma_q=1.0, sigma_k=2.0).parts(3, np.ones(1))[0].slow.path(np.eye(3, 2))
    array([[1., 0.],
           [1., 0.],
           [1., 0.]])
    """

    rho_q: float
    rho_k: float

    def parts(self, length: int, theta: np.ndarray) -> list[Part]:
        if not (self.rho_k and self.sigma_k) or length == 1:
            return super().parts(length, theta)
        return _on_path(self, length, theta, length, lambda xi: _ar1(self.rho_k, xi))

    def _deviations(self, length: int, theta: np.ndarray, rng: np.random.Generator) -> Pair:
        of_q = self.sigma_q * _ar1(self.rho_q, normal(length, theta.size, rng))
        return of_q, self.sigma_k * _ar1(self.rho_k, normal(length, theta.size, rng))


@dataclass(frozen=True, kw_only=True)
class RandomWalk(Around):
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
        steps = np.stack([normal(length, theta.size, rng) for _ in "qk"])
        steps[:, 0] = 0
        rms_q, rms_k = np.sqrt(Slash(self.lag, self.strength).power(theta))
        of_q, of_k = self.step * steps.cumsum(axis=1)
        return rms_q * of_q, rms_k * of_k

    def moments(self, length: int, theta: np.ndarray) -> Moments:
        q, k = Slash(self.lag, self.strength).power(theta)
        size = self.step ** 2 * (length - 1) / 2                         # t averages (T - 1) / 2
        return isotropic(self.mean(theta), size * q, size * k)

    def parts(self, length: int, theta: np.ndarray) -> list[Part]:
        bare, (q, k) = isotropic(self.mean(theta), 0.0, 0.0), Slash(self.lag, self.strength).power(theta)
        if not self.step or length == 1:
            return [Part(np.ones(length), bare)]
        ones = np.ones(2 * theta.size)
        slow = Slow(length - 1, lambda xi: np.concatenate([0 * xi[:1], xi.cumsum(axis=0)]),
                    self.step * np.sqrt(k) * ones, np.arange(float(length)), self.step ** 2 * q * np.diag(ones))
        return [Part(np.ones(length), bare, slow=slow)]


@dataclass(frozen=True, kw_only=True)
class Seasonal(Isotropic):
    """Queries and keys that repeat every `period` tokens, each in a normal pattern around a slash head.

    period >= 1, whole; sigma_q, sigma_k >= 0: of the patterns, drawn anew for each sample,
    independently for queries and keys. `Noise` on top is what differs from period to period. Source:
    TAPPA, Theorem 5.4; the moments are ours.

        q_t = q_ + sigma_q x_{t mod L},   x_0, ..., x_{L-1} ~ N(0, I)             (E-seasonal)

    >>> Seasonal(period=2, sigma_q=1.0, sigma_k=1.0).parts(3, np.ones(1))[0].slow.path(np.eye(2))
    array([[1., 0.],
           [0., 1.],
           [1., 0.]])
    """

    period: int

    def parts(self, length: int, theta: np.ndarray) -> list[Part]:
        if self.period >= length or not self.sigma_k:
            return super().parts(length, theta)
        return _on_path(self, length, theta, self.period, lambda xi: xi[np.arange(length) % self.period])

    def _deviations(self, length: int, theta: np.ndarray, rng: np.random.Generator) -> Pair:
        phase = np.arange(length) % self.period
        of_q = self.sigma_q * normal(self.period, theta.size, rng)[phase]
        return of_q, self.sigma_k * normal(self.period, theta.size, rng)[phase]


@dataclass(frozen=True, kw_only=True)
class Jumping(Around):
    """A slash head that now and then retrieves: its query jumps to the content of one key, the needle.

    Keys have content c_j = sigma_k eta_j, sigma_k >= 0. In each row, independently, with probability
    `rate` in [0, 1], the query is gain >= 0 times the content of the needle, turned so that RoPE brings
    it into line: the logit there is gain |c|^2 on average. The needle is n tokens back, n uniform over
    the min(i + 1, reach) nearest keys, the own one included, so that no row differs in E q and power.
    Given a query, keys are dependent: one is its needle (M-parts). Source: TAPPA's retrieval heads; the model is ours.

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
        content, row = self.sigma_k * normal(length, theta.size, rng), np.arange(length)
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
        bare = isotropic(self.mean(theta), size * self.gain, of_k)
        return bare._replace(cov_q=bare.cov_q + self.rate * (1 - self.rate) * np.outer(slash, slash),
                             cross=np.array(cross))

    def parts(self, length: int, theta: np.ndarray) -> list[Part]:
        """Rows that do not jump, and those whose needle is n tokens back: their query tells about one key alone."""
        of_k, row, near = self.sigma_k ** 2, np.arange(length), min(self.reach, length)
        slash = super().mean(theta)
        content = isotropic(Mean(0 * slash.q, slash.k), self.gain ** 2 * of_k, of_k)
        kinds = [Part(np.full(length, 1 - self.rate), isotropic(slash, 0.0, of_k))]
        kinds += [Part(self.rate / np.minimum(row + 1, self.reach) * (row >= n),
                       content._replace(cross=self.gain * of_k * _turned(n * theta)[None]), n) for n in range(near)]
        return [kind for kind in kinds if kind.share.any()]


def _on_path(head: Isotropic, length: int, theta: np.ndarray, size: int,
             path: Callable[[np.ndarray], np.ndarray]) -> list[Part]:
    """The only part of a head whose keys are path(xi), xi ~ N(0, I), of variance sigma_k^2 at each token."""
    none, ones = np.zeros((2 * theta.size,) * 2), np.ones(2 * theta.size)
    slow = Slow(size, path, head.sigma_k * ones, np.zeros(length), none)
    return [Part(np.ones(length), head.moments(length, theta)._replace(cov_k=none), slow=slow)]


def _ar1(rho: float, x: np.ndarray) -> np.ndarray:
    from scipy.signal import lfilter                     # heavy, and needed by this family alone
    steps = np.concatenate([x[:1], np.sqrt(1 - rho ** 2) * x[1:]])
    return np.asarray(lfilter([1.0], [1.0, -rho], steps, axis=0))


def _turned(angle: np.ndarray) -> np.ndarray:           # E[x y^T] for x ~ N(0, I) and y = e^{-1j angle} x
    cos, sin = np.diag(np.cos(angle)), np.diag(np.sin(angle))
    return np.block([[cos, -sin], [sin, cos]])
