"""Claims about rounding: what float16, bfloat16 and float32 tables do to the phases, and misquoted figures."""

from fractions import Fraction

import numpy as np
import sympy
from hypothesis import strategies as st

from .. import bands
from ..predict.phases import rotations, turns
from .claim import AGREES, CORRECTED, PROVED, Claim, Control, Identity, Inequality, Simulation
from .proofs import every, true, zero


def _geometric(base: float, dim: int) -> np.ndarray:
    return base ** (-np.arange(0, dim, 2) / dim)


def _bfloat16(x: np.ndarray) -> np.ndarray:
    """Nearest numbers of 8 significant bits, ties to even, by scaling: frexp and rint, no bits of float32."""
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.rint(mantissa * 256.0), exponent - 8)


# gpt-neox 1003

SEQUENCES = (128, 512, 1024, 2048)


def _half_tables(length: int) -> float:
    """Largest error of a cosine with float16 frequencies and angles, by the library."""
    head, where = bands.geometric(32, 1e4), np.arange(length)
    low, _ = bands.as_implemented(head, where, freq_dtype="float16", angle_dtype="float16")
    full, _ = bands.as_implemented(head, where, freq_dtype="float32")
    return float(np.abs(low - full).max())


def _half_by_hand(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    found = []
    for length in SEQUENCES:
        theta = (1.0 / 1e4 ** (np.arange(0, 32, 2) / 32))
        where = np.arange(length)
        low = np.multiply.outer(where.astype(np.float16), theta.astype(np.float16)).astype(np.float32)
        full = np.multiply.outer(where.astype(np.float32), theta.astype(np.float32))
        found.append(np.abs(np.cos(low).astype(float) - np.cos(full).astype(float)).max())
    return np.array(found), 1e-8                           # float32 cosines differ by an ulp between code paths


def _coarser_tables(length: int) -> float:
    cosines = [bands.as_implemented(bands.geometric(32, 1e4), np.arange(length), freq_dtype=kind, angle_dtype=kind)[0]
               for kind in ("bfloat16", "float32")]
    return float(np.abs(cosines[0] - cosines[1]).max())


# Modalities 462

REPORTED = {512: 0.625, 2048: 2.5038, 4096: 3.1411}


def _phase_error(length: int) -> float:
    """Largest phase error, wrapped to half a turn, with bfloat16 frequencies, by the library's tables."""
    head, where = bands.geometric(128, 1e4), np.arange(length)
    cos, sin = bands.as_implemented(head, where, freq_dtype="bfloat16", angle_dtype="float64", table_dtype="float64")
    return float(np.abs(np.angle((cos + 1j * sin) * np.exp(-1j * np.outer(where, head.theta)))).max())


def _finer_phase(length: int) -> float:
    theta = _geometric(1e4, 128)
    return float((length - 1) * np.abs(theta.astype(np.float16).astype(float) - theta).max())


def _phase_by_hand(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    theta = _geometric(1e4, 128)
    drift = np.outer(np.arange(max(REPORTED)), _bfloat16(theta) - theta)
    off = np.abs(np.remainder(drift + np.pi, 2 * np.pi) - np.pi).max(axis=1)
    return np.maximum.accumulate(off)[np.array(list(REPORTED)) - 1], 0.0


# candle 3520

QUOTED = {15962: -0.547, 15968: -0.882}
TRUE = {15962: -0.9080, 15968: -0.7548}


def _cosine(position: int) -> float:
    """By the exact phases of the library."""
    return float(rotations(turns(np.array([1.0])), np.array([position], dtype=np.uint64))[0, 0].real)


def _prove_cosines() -> str:
    digits = [abs(sympy.cos(n) - sympy.Rational(str(value))) < sympy.Rational(1, 20000) for n, value in TRUE.items()]
    return true(digits)


def _grid(position: int, step: float) -> tuple[float, float]:
    """Least distance between the bfloat16 numbers that a position and those after it round to."""
    return float(np.diff(np.unique(_bfloat16(position + np.arange(193.0)))).min()), step


def _prove_grid() -> str:
    """8 significant bits between 2^13 and 2^14: the exponent of the last is 13 - 7."""
    n = sympy.Integer(15962)
    exponent = sympy.floor(sympy.log(n, 2))
    return every([true([sympy.Eq(exponent, 13)]), zero(2 ** (exponent - 7) - 64)])


# Bounds for float32 and float64

def _float32_phase(theta: float, position: int, bits: int = 24) -> tuple[float, float]:
    """Error of the angle when frequency and product are float32, exactly, and its bound."""
    angle = np.float32(position) * np.float32(theta)
    exact = position * Fraction(theta)
    unit = 2.0 ** -bits
    return float(abs(Fraction(float(angle)) - exact)), float(exact) * unit * (2 + unit)


def _prove_float32() -> str:
    e, f, x = sympy.symbols("e f x", real=True)            # two roundings by relative amounts e and f
    u = sympy.Symbol("u", positive=True)
    worst = sympy.expand((1 + u) * (1 + u) - 1)
    return every([zero(x * (1 + e) * (1 + f) - x - x * (e + f + e * f)), zero(worst - u * (2 + u))])


LENGTHS = (512, 4096, 131072)


def _float32_table() -> tuple[np.ndarray, float]:
    """Largest phase error at base 1e4 over lengths: exact phases less those of float32 tables."""
    head, found = bands.geometric(128, 1e4), []
    for length in LENGTHS:
        where = np.arange(length - min(length, 4096), length)
        cos, sin = bands.as_implemented(head, where, freq_dtype="float32", angle_dtype="float32", table_dtype="float64")
        exact = rotations(turns(head.theta), where.astype(np.uint64))
        found.append(np.abs(np.angle((cos + 1j * sin) * exact.conj())).max())
    return np.array(found), 1e-9


def _float32_by_hand(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    theta, found = _geometric(1e4, 128), []
    for length in LENGTHS:
        where = np.arange(length - min(length, 4096), length)
        angle = np.multiply.outer(where.astype(np.float32), theta.astype(np.float32)).astype(float)
        found.append(np.abs(angle - np.outer(where, theta)).max())
    return np.array(found), 0.0


def _float64_cosine(theta: float, position: int, bits: int = 53) -> tuple[float, float]:
    """Error of cos(position * theta) in float64 against the exact phase, and its bound."""
    exact = rotations(turns(np.array([theta])), np.array([position], dtype=np.uint64))[0, 0].real
    return float(abs(np.cos(position * theta) - exact)), position * theta * 2.0 ** -bits + 1e-15


def _prove_float64() -> str:
    x, y = sympy.symbols("x y", real=True)
    product = zero(sympy.expand_trig(sympy.cos(x + y) - sympy.cos(x - y) + 2 * sympy.sin(x) * sympy.sin(y)))
    t = sympy.Symbol("t", positive=True)
    slope = zero(sympy.diff(t - sympy.sin(t), t) - 2 * sympy.sin(t / 2) ** 2)       # so |sin t| <= t
    return every([product, slope])


SLOW = {"theta": st.floats(1e-6, 1.0), "position": st.integers(1, 1 << 20)}

CLAIMS = (
    Claim(
        id="rope-float16", source="EleutherAI/gpt-neox issue 1003", label="R-tables",
        title="float16 tables err by 0.782 in a cosine within 2048 positions",
        statement=r"\max_{n < 2048} |\cos_{16} - \cos_{32}| = 0.78189254", expected=AGREES,
        assumes="32 dimensions, base 1e4; frequencies, positions and angles in float16", note="rope.md 3.8",
        holds=Identity({"length": st.just(2048)}, lambda length: (_half_tables(length), 0.78189254), 1e-7),
        simulate=Simulation(SEQUENCES, "sequence (tokens)", "largest error of a cosine",
                            lambda: (np.array([_half_tables(length) for length in SEQUENCES]), 1e-7), _half_by_hand),
        control=Control("bfloat16 for float16", Identity({"length": st.just(2048)}, lambda length: (
            _coarser_tables(length), 0.78189254), 1e-7))),
    Claim(
        id="rope-bfloat16", source="Modalities/modalities pull request 462", label="R-tables",
        title="bfloat16 frequencies turn a pair by 0.625 rad too much at 512 tokens, by pi at 4096",
        statement=r"\max_{n < T,\, b} |n\,(\rho(\theta_b) - \theta_b)| = 0.625,\ 2.5038,\ 3.1411", expected=AGREES,
        assumes="128 dimensions, base 1e4; wrapped to half a turn; T = 512, 2048, 4096; as printed, to 1e-4",
        note="rope.md 3.8",
        holds=Identity({"length": st.sampled_from(tuple(REPORTED))},
                       lambda length: (_phase_error(length), REPORTED[length]), 1e-4),
        simulate=Simulation(tuple(REPORTED), "sequence (tokens)", "largest phase error (rad)",
                            lambda: (np.array([_phase_error(length) for length in REPORTED]), 1e-9), _phase_by_hand),
        control=Control("float16 for bfloat16", Identity(
            {"length": st.sampled_from(tuple(REPORTED))},
            lambda length: (_finer_phase(length), REPORTED[length]), 1e-4))),
    Claim(
        id="rope-candle-cosines", source="huggingface/candle pull request 3520", label="C-rope-candle-cosines",
        title="cos 15962 and cos 15968 are -0.9080 and -0.7548, not -0.547 and -0.882",
        statement=r"\cos 15962 = -0.9080,\quad \cos 15968 = -0.7548", expected=CORRECTED, note="rope.md 3.8",
        assumes="radians, four digits: the first pair, theta = 1, at those positions", prove=_prove_cosines,
        holds=Identity({"position": st.sampled_from(tuple(TRUE))},
                       lambda position: (_cosine(position), TRUE[position]), 1e-4),
        printed=Identity({"position": st.sampled_from(tuple(QUOTED))},
                         lambda position: (_cosine(position), QUOTED[position]), 1e-3),
        control=Control("positions in degrees", Identity({"position": st.sampled_from(tuple(TRUE))}, lambda position: (
            float(np.cos(np.radians(position))), TRUE[position]), 1e-4))),
    Claim(
        id="rope-candle-grid", source="huggingface/candle pull request 3520", label="C-rope-candle-grid",
        title="bfloat16 positions near 16k lie 64 apart, not 16",
        statement=r"2^{13} \leq n < 2^{14} \;\Rightarrow\; \mathrm{ulp}(n) = 2^{13 - 7} = 64", expected=CORRECTED,
        assumes="bfloat16: 8 significant bits", note="rope.md 3.8", prove=_prove_grid,
        holds=Identity({"position": st.integers(8192, 16383 - 192)}, lambda position: _grid(position, 64.0)),
        printed=Identity({"position": st.just(15962)}, lambda position: _grid(position, 16.0)),
        control=Control("11 significant bits, float16", Identity({"position": st.just(15962)}, lambda position: (
            float(np.spacing(np.float16(position))), 64.0)))),
    Claim(
        id="rope-float32-phase", source="rope.md 3.8, derived; figures of rope.md 1.1", label="C-rope-float32-phase",
        title="float32 frequencies and angles err by at most 2 ulp: 0.0078 rad at 131072",
        statement=r"|\rho(n \rho(\theta)) - n\theta| \leq n\theta\, u\,(2 + u),\quad u = 2^{-24}", expected=PROVED,
        assumes="both roundings to nearest, n < 2^24; 2.9e-5 rad below 512 and 7.8e-3 below 131072 at base 1e4",
        note="rope.md 3.8 calls these figures fp32 inv_freq; they take the rounding of the angles as well",
        prove=_prove_float32,
        holds=Inequality(SLOW, _float32_phase, {"theta": 0.5 * (1 + 2048.5001 * 2.0 ** -23), "position": 4097}),
        simulate=Simulation(LENGTHS, "context (tokens)", "largest phase error (rad)", _float32_table, _float32_by_hand),
        control=Control("one rounding counted", Inequality(SLOW, lambda theta, position: (
            _float32_phase(theta, position)[0], _float32_phase(theta, position)[1] / 2),
            {"theta": 0.5 * (1 + 2048.5001 * 2.0 ** -23), "position": 4097}))),
    Claim(
        id="rope-float64-cosine", source="rope.md 3.8, derived", label="C-rope-float64-cosine",
        title="cos(n theta) in float64 errs by n theta 2^-53: up to 4e-11 within a million tokens",
        statement=r"|\cos \rho(n\theta) - \cos n\theta| \leq n\theta\, 2^{-53}", expected=PROVED,
        assumes="theta the exact value of its double; 1e-15 for the cosine's own rounding",
        note="rope.md 3.8 (4.4e-11 at 1048575); why the library keeps phases in fixed point, (A-turns)",
        prove=_prove_float64,
        holds=Inequality(SLOW, _float64_cosine, {"theta": 1.000000000001819, "position": 16385}),
        control=Control("a product with one bit more", Inequality(SLOW, lambda theta, position: (
            _float64_cosine(theta, position, 54)), {"theta": 1.000000000001819, "position": 16385}))),
)
