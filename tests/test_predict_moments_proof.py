"""The identity (M-laplace) of the expected scores, proved by sympy where keys have few values or a Gamma distribution.

Each statement is a difference that must vanish identically in all its symbols; each has broken
variants, which the same check refuses and whose difference is far from 0 at some numbers.
"""

import itertools
import math

import mpmath
import pytest
import sympy as sp

pytestmark = pytest.mark.compiled          # imports nothing of ours: coverage has nothing to see

T, A = sp.symbols("t a", positive=True)
Y = sp.symbols("y:3", positive=True)
GAMMA = sp.EulerGamma
ALPHA, TOTAL = sp.symbols("alpha total", positive=True)          # of the own key, of all keys


def log_term(constant, weight=T):
    return lambda y: y * (sp.log(weight) + sp.log(y) + constant)


# function of the score -> (its value, what stands in the integral beside e^{-tY}, and the same with a fault)
SCORE = (lambda p: p, lambda y: y, [lambda y: T * y, lambda y: 1, lambda y: y ** 2])
SQUARE = (lambda p: p ** 2, lambda y: T * y ** 2, [lambda y: y ** 2, lambda y: T * y, lambda y: T ** 2 * y ** 2])
LOG = (lambda p: p * sp.log(p), log_term(GAMMA), [log_term(0), log_term(GAMMA, 1), lambda y: y * sp.log(y) * T,
                                                  log_term(-GAMMA)])
EACH = pytest.mark.parametrize(("value", "own"), [(value, own) for value, own, _ in (SCORE, SQUARE, LOG)],
                               ids=["score", "square", "p log p"])
BROKEN = pytest.mark.parametrize(("value", "own"), [(value, own) for value, _, owns in (SCORE, SQUARE, LOG)
                                                    for own in owns])
FAULTY = pytest.mark.parametrize(("value", "own"), [(value, owns[0]) for value, _, owns in (SCORE, SQUARE, LOG)],
                                 ids=["score", "square", "p log p"])


def integral(integrand, variable=T):
    return sp.integrate(integrand, (variable, 0, sp.oo))


def vanishes(difference):
    """Whether sympy proves that an expression is 0."""
    plain = sp.expand_log(difference)
    return sp.factor(plain) == 0 or sp.simplify(sp.gammasimp(sp.expand_func(plain))) == 0    # the first is faster


def refuted(difference):
    """Whether the proof fails, and rightly: the expression is not 0 at some numbers."""
    symbols = sorted(difference.free_symbols, key=str)
    numbers = {symbol: sp.Rational(n + 3, 2 * n + 5) for n, symbol in enumerate(symbols)}
    numbers |= {TOTAL: 5} if TOTAL in numbers else {}            # the integrals of some variants begin to exist at 1
    return abs(sp.N(difference.subs(numbers))) > 1e-4 and not vanishes(difference)


# Certain keys

def fixed(value, own, count):
    total = sum(Y[:count])
    return integral(own(Y[0]) * sp.exp(-T * total)) - value(Y[0] / total)


@EACH
@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_integral_over_t_gives_the_function_of_a_certain_score(value, own, count):
    assert vanishes(fixed(value, own, count))


@BROKEN
def test_another_weight_or_constant_gives_another_function_of_a_certain_score(value, own):
    assert refuted(fixed(value, own, 2))


# Keys of two values each

def drawn(counts):
    """Keys as (values, weights) of symbols. Both sides are linear in each key's weights, which need not sum to 1."""
    return [(sp.symbols(f"v{m}_:{count}", positive=True), sp.symbols(f"w{m}_:{count}", positive=True))
            for m, count in enumerate(counts)]


def phi(key):
    return sum(w * sp.exp(-T * v) for v, w in zip(*key))


def by_product(keys, own, others):
    """The integral over t of E[own e^{-tY}] of the first key times the product of phi over `others`, by weights."""
    mine = sum(w * own(v) * sp.exp(-T * v) for v, w in zip(*keys[0]))
    weights = [w for key in keys for w in key[1]]
    terms = sp.Poly(sp.expand(mine * math.prod(map(phi, others))), *weights).terms()
    return {powers: integral(sp.powsimp(term)) for powers, term in terms}


def by_outcome(keys, value):
    """E value(Y_0 / S), outcome by outcome: the coefficient of each product of weights."""
    found = {}
    for chosen in itertools.product(*(range(len(values)) for values, _ in keys)):
        total = sum(key[0][n] for key, n in zip(keys, chosen))
        powers = tuple(int(m == n) for key, n in zip(keys, chosen) for m in range(len(key[0])))
        found[powers] = value(keys[0][0][chosen[0]] / total)
    return found


def differences(keys, value, own, others):
    one, other = by_product(keys, own, others), by_outcome(keys, value)
    return [sp.sympify(one.get(powers, 0) - other.get(powers, 0)) for powers in {*one, *other}]


@EACH
@pytest.mark.parametrize("counts", [(2, 2), (2, 1, 2)], ids=str)
def test_the_product_of_phi_is_the_expectation_over_independent_keys(value, own, counts):
    keys = drawn(counts)
    found = differences(keys, value, own, keys[1:])
    assert len(found) == math.prod(counts)
    assert all(map(vanishes, found))


@FAULTY
def test_a_broken_own_term_is_no_expectation_over_independent_keys(value, own):
    keys = drawn((1, 2))
    assert all(map(refuted, differences(keys, value, own, keys[1:])))


@EACH
def test_the_product_must_leave_out_the_own_key(value, own):
    keys = drawn((1, 2))
    assert any(map(refuted, differences(keys, value, own, keys)))


# Keys with Gamma distributions, whose scores have a Dirichlet distribution

DIRICHLET = {
    "score": ALPHA / TOTAL,
    "square": ALPHA * (ALPHA + 1) / (TOTAL * (TOTAL + 1)),
    "p log p": ALPHA / TOTAL * (sp.digamma(ALPHA + 1) - sp.digamma(TOTAL + 1)),
}


def transform(function):
    """E[function(Y) e^{-tY}], Y of the Gamma distribution with shape alpha."""
    y = Y[0]
    density = y ** (ALPHA - 1) * sp.exp(-y) / sp.gamma(ALPHA)
    return sp.simplify(integral(density * function(y) * sp.exp(-T * y), y))


OTHERS = (1 + T) ** (ALPHA - TOTAL)       # product of phi over the other keys, whose shapes sum to total - alpha


def dirichlet(own):
    """The identity for an own term without logarithms."""
    return integral(sp.powsimp(transform(own) * OTHERS))


def dirichlet_log(own):
    """The identity for an own term that is linear in log(t / (1 + t)), the slope at a = 1 of an integral of Beta's."""
    ratio, kernel = sp.log(T) - sp.log(1 + T), T ** (A - 1) * (1 + T) ** (-TOTAL - A)
    assert vanishes((kernel.diff(A) - ratio * kernel).subs(A, 1))
    parts = sp.expand(sp.simplify(transform(own) * OTHERS / kernel.subs(A, 1)))
    slope = parts.coeff(sp.log(T))
    constant = sp.simplify(parts - sp.expand(slope * ratio))
    assert T not in slope.free_symbols | constant.free_symbols
    beta = integral(kernel)
    return slope * beta.diff(A).subs(A, 1) + constant * beta.subs(A, 1)


def test_phi_of_a_gamma_key_is_a_power():
    assert vanishes(transform(lambda y: 1) - (1 + T) ** -ALPHA)
    assert refuted(transform(lambda y: 1) - (1 + T) ** (1 - ALPHA))


@pytest.mark.parametrize(("name", "own"), [("score", SCORE[1]), ("square", SQUARE[1])], ids=["score", "square"])
def test_gamma_keys_give_the_moments_of_a_dirichlet_distribution(name, own):
    assert vanishes(dirichlet(own) - DIRICHLET[name])


@pytest.mark.parametrize(("name", "own"), [(name, own) for name, one in (("score", SCORE), ("square", SQUARE))
                                           for own in one[2]])
def test_a_broken_own_term_gives_no_moment_of_a_dirichlet_distribution(name, own):
    assert refuted(dirichlet(own) - DIRICHLET[name])


def test_gamma_keys_give_the_expected_p_log_p_of_a_dirichlet_distribution():
    assert vanishes(dirichlet_log(LOG[1]) - DIRICHLET["p log p"])


def test_without_eulers_constant_it_is_no_p_log_p_of_a_dirichlet_distribution():
    assert refuted(dirichlet_log(log_term(0)) - DIRICHLET["p log p"])


def log_by_quadrature(alphas, constant):
    """The third integral of (M-laplace) from E[Y (log tY + c) e^{-tY}] = alpha (1 + t)^{-alpha-1} (...), in digits."""
    own, total = alphas[0], mpmath.fsum(alphas)

    def integrand(t):
        return own * (1 + t) ** (-total - 1) * (mpmath.log(t / (1 + t)) + mpmath.digamma(own + 1) + constant)
    return mpmath.quad(integrand, [0, 0.01, 0.1, 1, 10, 100, mpmath.inf])


@pytest.mark.parametrize("alphas", [("0.7", "1.3", "2.1"), ("3.25", "0.5", "0.5")])
def test_the_third_integral_has_30_digits_of_the_dirichlet_formula(alphas):
    with mpmath.workdps(40):
        alphas = [mpmath.mpf(alpha) for alpha in alphas]
        total = mpmath.fsum(alphas)
        want = alphas[0] / total * (mpmath.digamma(alphas[0] + 1) - mpmath.digamma(total + 1))
        assert abs(log_by_quadrature(alphas, mpmath.euler) - want) < mpmath.mpf("1e-30")
        assert abs(log_by_quadrature(alphas, 0) - want) > 0.05


# The slope at a = 1 that turns powers of a score into p log p

def power_term(y, normal=sp.gamma(A)):
    return T ** (A - 1) * y ** A / normal


def test_the_integral_over_t_gives_every_power_of_a_score():
    total = sum(Y)
    assert vanishes(integral(power_term(Y[0]) * sp.exp(-T * total)) - (Y[0] / total) ** A)


@pytest.mark.parametrize("normal", [1, sp.gamma(A + 1), sp.gamma(A) ** 2])
def test_another_norm_than_gamma_of_a_gives_no_power_of_a_score(normal):
    total = sum(Y)
    assert refuted(integral(power_term(Y[0], normal) * sp.exp(-T * total)) - (Y[0] / total) ** A)


def test_the_slope_of_a_power_of_a_score_is_p_log_p():
    p = Y[0] / sum(Y)
    assert vanishes((p ** A).diff(A).subs(A, 1) - p * sp.log(p))


def test_the_slope_of_the_power_term_is_the_term_of_p_log_p():
    assert vanishes(power_term(Y[0]).diff(A).subs(A, 1) - LOG[1](Y[0]))


@pytest.mark.parametrize("own", LOG[2])
def test_a_broken_term_of_p_log_p_is_no_slope(own):
    assert refuted(power_term(Y[0]).diff(A).subs(A, 1) - own(Y[0]))


def test_the_power_term_without_its_norm_has_a_slope_without_eulers_constant():
    slope = power_term(Y[0], 1).diff(A).subs(A, 1)
    assert vanishes(slope - log_term(0)(Y[0]))
    assert refuted(slope - LOG[1](Y[0]))
