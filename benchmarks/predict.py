"""The closed forms: lag logits and profiles of lag logits."""


import mpmath
import numba
import numpy as np
from scipy import fft

from ropesim import bands
from ropesim.predict import attention

from . import dense
from .timing import Line, at_least, at_most, seconds

LAGS = 1 << 20
PAIRS = 64


def lines() -> list[Line]:
    return [*lag_logits(), *profile()]


def lag_logits() -> list[Line]:
    rng = np.random.default_rng(0)
    amplitude, phase = rng.uniform(0, 1, PAIRS), rng.uniform(-np.pi, np.pi, PAIRS)
    theta = bands.preset("llama-3-8b").theta

    def ours() -> np.ndarray:
        return attention.lag_logits(amplitude, phase, theta, LAGS)

    def chunked() -> np.ndarray:
        chunks = np.split(np.arange(LAGS), 64)
        return np.concatenate([np.cos(np.outer(n, theta) + phase) @ amplitude for n in chunks])

    def loop() -> np.ndarray:
        return cosines(amplitude, phase, theta, LAGS)

    for other in (chunked, loop):
        assert np.abs(ours() - other()).max() < 1e-9 * amplitude.sum()
    fast, numpy_time, numba_time = seconds(ours, chunked, loop, rounds=3)
    errors = [(name, worst_error(amplitude, phase, theta, start)) for name, start in
              (("below 2^20", 0), ("at 2^40", 1 << 40), ("at 2^60", 1 << 60))]
    return [at_least("lag_logits, 2^20 lags, 64 pairs: chunked NumPy cos / ours", numpy_time / fast, 100),
            at_least("lag_logits: parallel Numba cos loop / ours", numba_time / fast, 30),
            *(at_most(f"lag_logits {name}: error / sum(A), in 1e-15", error * 1e15, 1, "") for name, error in errors)]


@numba.njit(parallel=True)
def cosines(amplitude, phase, theta, length):  # type: ignore[no-untyped-def]
    out = np.empty(length)
    for n in numba.prange(length):
        total = 0.0
        for b in range(theta.size):
            total += amplitude[b] * np.cos(theta[b] * n + phase[b])
        out[n] = total
    return out


def worst_error(amplitude: np.ndarray, phase: np.ndarray, theta: np.ndarray, start: int) -> float:
    """Largest error over 200 lags against 60 digits, per sum of amplitudes."""
    lags = np.unique(np.random.default_rng(1).integers(0, LAGS, 200))
    ours = attention.lag_logits(amplitude, phase, theta, LAGS, start=start)[lags]
    with mpmath.workdps(60):
        columns = [(mpmath.mpf(a), mpmath.mpf(p), mpmath.mpf(t)) for a, p, t in
                   zip(amplitude.tolist(), phase.tolist(), theta.tolist())]
        exact = [mpmath.fsum(a * mpmath.cos(t * (start + n) + p) for a, p, t in columns) for n in lags.tolist()]
        return float(max(abs(x - mpmath.mpf(y)) for x, y in zip(exact, ours.tolist())) / amplitude.sum())


def profile() -> list[Line]:
    logits = head(LAGS)
    signal = np.random.default_rng(0).standard_normal(2 * LAGS)

    def transforms() -> None:
        a, b = fft.rfft(signal), fft.rfft(signal)
        fft.irfft(a * b, 2 * LAGS)

    ours, unit = seconds(lambda: attention.profile(logits), transforms, rounds=3)
    short = head(4096)
    for seen, want in zip(attention.profile(short), by_matrix(short)):
        assert np.abs(seen - want).max() < 1e-12
    fast, slow = seconds(lambda: [attention.profile(short) for _ in range(50)], lambda: by_matrix(short), rounds=3)
    return [at_most("predict profile, T = 2^20: ours / three real FFTs of 2T", ours / unit, 4),
            at_least("predict profile, T = 4096: dense NumPy / ours", 50 * slow / fast, 1000),
            at_most("predict profile: exponent of the time in T, 2^16 to 2^24", exponent(), 1.2, ""),
            at_most("predict profile: error against dense, logit ranges 0 to 1e4, in 1e-12",
                    1e12 * max(worst_profile(spread) for spread in (0.0, 1.0, 10.0, 88.0, 700.0, 1e4)), 1, "")]


def head(length: int) -> np.ndarray:
    theta = bands.preset("llama-3-8b").theta
    return attention.lag_logits(np.full(PAIRS, 0.3), -7 * theta, theta, length)


def exponent() -> float:
    sizes = [1 << n for n in (16, 18, 20, 22, 24)]
    times = []
    for size in sizes:
        logits = head(size)
        times += seconds(lambda: attention.profile(logits), rounds=4)  # noqa: B023
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def by_matrix(logits: np.ndarray) -> tuple[np.ndarray, ...]:
    lag = np.arange(len(logits))[:, None] - np.arange(len(logits))
    return dense.profile(np.where(lag >= 0, logits[np.abs(lag)], -np.inf))


def worst_profile(spread: float) -> float:
    """Largest absolute error of any entry over logits of several shapes that span `spread`."""
    rng, length = np.random.default_rng(2), 3000
    spikes = np.where(rng.random(length) < 0.05, np.sort(rng.uniform(0, spread, length)), 0.0)
    shapes = (rng.uniform(0, spread, length), np.linspace(0, spread, length), np.linspace(spread, 0, length), spikes,
              spread * np.cos(np.arange(length) / 100))
    return max(float(np.abs(seen - want).max()) for logits in shapes
               for seen, want in zip(attention.profile(logits), by_matrix(logits)))
