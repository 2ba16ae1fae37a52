"""Many heads at once against a Python loop, and against the transforms that received scores cannot do without."""

import numpy as np
from scipy import fft

from ropesim import bands
from ropesim.patterns import Profile
from ropesim.predict import attention, batch

from .timing import Line, at_least, at_most, seconds

POINTS, LENGTH, PAIRS = 10_000, 1024, 64
CHUNK = 500           # points a call, as a sweep would have
SPREADS = (0.5, 1.0, 4.0)     # largest amplitude of a pair: logits range over 6, 13 and 50 nats


def lines() -> list[Line]:
    found = []
    for spread in SPREADS:
        found += against(spread)
    return found + whole_sweep() + one_head()


def amplitudes(points: int, spread: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    shape = points, PAIRS
    return rng.uniform(0, spread, shape), rng.uniform(-np.pi, np.pi, shape), bands.preset("llama-3-8b").theta


def against(spread: float) -> list[Line]:
    """One chunk, from logits on both sides."""
    logits = attention.lag_logits(*amplitudes(CHUNK, spread), LENGTH)
    agree(batch.profiles(logits, received=True), [attention.profile(row) for row in logits])
    one, other = np.random.default_rng(1).standard_normal((2, CHUNK, 2 * LENGTH))

    def transforms(at_once: int) -> None:
        for start in range(0, CHUNK, at_once):
            x, y = one[start:start + at_once], other[start:start + at_once]
            fft.irfft(fft.rfft(x, workers=1) * fft.rfft(y, workers=1), 2 * LENGTH, workers=1)

    loop, full, plain, all_at_once, by_16 = seconds(
        lambda: [attention.profile(row) for row in logits], lambda: batch.profiles(logits, received=True),
        lambda: batch.profiles(logits), lambda: transforms(CHUNK), lambda: transforms(16), rounds=9)
    case = f"batch, amplitudes to {spread:g}"
    return [at_least(f"{case}, with received: loop of profile / ours", loop / full, 2),
            at_most(f"{case}, with received: ours / batched FFTs, {CHUNK} heads a call", full / all_at_once, 1.5),
            at_most(f"{case}, with received: ours / batched FFTs, 16 heads a call", full / by_16, 1.5),
            at_least(f"{case}, without: loop of profile / ours", loop / plain, 20)]


def whole_sweep() -> list[Line]:
    """All points, from amplitudes on both sides: the loop makes its logits head by head, as it must."""
    amplitude, phase, theta = amplitudes(POINTS, SPREADS[0])

    def ours(received: bool) -> None:
        for start in range(0, POINTS, CHUNK):
            part = slice(start, start + CHUNK)
            batch.profiles(attention.lag_logits(amplitude[part], phase[part], theta, LENGTH), received=received)

    def loop() -> None:
        for a, p in zip(amplitude, phase):
            attention.profile(attention.lag_logits(a, p, theta, LENGTH))

    slow, full, plain = seconds(loop, lambda: ours(True), lambda: ours(False), rounds=2)
    case = f"batch, {POINTS} points from amplitudes"
    return [at_least(f"{case}, with received: loop / ours", slow / full, 2),
            at_least(f"{case}, without: loop / ours", slow / plain, 20)]


def one_head() -> list[Line]:
    """A batch of one, as a single run has it, against the functions that it stands in for."""
    found = []
    for length in (16, LENGTH, 1 << 14, 1 << 20):
        head = attention.lag_logits(*amplitudes(1, 1.0), length)
        ours, theirs = seconds(
            lambda: batch.profiles(head),
            lambda: [of(head[0]) for of in (attention.slash, attention.sink_score, attention.entropy,
                                            attention.participation)])
        found.append(at_most(f"batch of one, T = {length}: ours / functions of one head", ours / theirs, 2))
    return found


def agree(ours: batch.Profiles, theirs: list[Profile]) -> None:
    half, received = LENGTH // 2, ours.received
    assert received is not None
    for n, one in enumerate(theirs):
        for seen, want in [(ours.slash[n], one.slash), (received[n], one.received), (ours.sink[n], one.received[0]),
                           (ours.entropy[n], one.entropy[half:].mean()),
                           (ours.participation[n], one.participation[half:].mean())]:
            assert np.abs(seen - want).max() < 1e-12
