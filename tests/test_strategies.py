"""The strategies reach every branch, shrink to the simplest case, and make nothing that the package would refuse."""

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from tolerances import EXACT, FLOAT

from ropesim import bands, ensembles, gaussians, patterns, processes, schedules, simulate, strategies, wrappers
from ropesim.errors import RopesimError

# the same search in every profile; explaining a failure would overwrite what was found
SEARCH = settings(max_examples=5000, derandomize=True, database=None, phases=[Phase.generate])
SHRINK = settings(SEARCH, phases=[Phase.generate, Phase.shrink])
CLASSES = {
    "constant": ensembles.Constant, "slash": ensembles.Slash, "captured": ensembles.Captured,
    "gaussian": gaussians.Gaussian, "full-gaussian": gaussians.FullGaussian, "cone": gaussians.Cone,
    "massive": gaussians.Massive, "ar1": processes.Ar1, "random-walk": processes.RandomWalk,
    "seasonal": processes.Seasonal, "jumping": processes.Jumping,
}


def some(strategy, condition):
    """A draw that fulfils the condition; an error where none is found."""
    return find(strategy, condition, settings=SEARCH)


def least(strategy, condition=lambda drawn: True):
    """The simplest draw that fulfils the condition."""
    return find(strategy, condition, settings=SHRINK)


def kind_of(table):
    if table.name in ("custom", "half-dft"):
        return table.name
    return "default" if table.scaling is None else table.scaling["type"]


def bare(head):
    inner = head.ensemble
    while hasattr(inner, "head"):
        inner = inner.head
    return inner


def layers(head):
    """The wrappers of a head, the outer one first."""
    found, inner = [], head.ensemble
    while hasattr(inner, "head"):
        found.append(type(inner).__name__)
        inner = inner.head
    return found


# Frequency tables

@pytest.mark.parametrize("kind", strategies.BANDS)
def test_every_schedule_is_drawn_by_default_and_alone(kind):
    assert kind_of(some(strategies.bands(), lambda table: kind_of(table) == kind)) == kind
    alone = least(strategies.bands(kinds=[kind]))
    assert kind_of(alone) == kind and alone.theta.size <= 2


def test_the_kinds_are_the_schedules_that_there_are():
    assert set(strategies.BANDS) == {*schedules.SCHEDULES, "half-dft", "custom"}


BRANCHES_OF_BANDS = {
    "half": lambda table: table.layout == "half", "interleaved": lambda table: table.layout == "interleaved",
    "partial": lambda table: table.rotary_dim < table.head_dim,
    "most pairs": lambda table: table.theta.size == 4,
    "most pairs, all rotated": lambda table: table.rotary_dim == 8 and table.theta.all(),
    "a context": lambda table: table.context is not None, "no context": lambda table: table.context is None,
    "a factor above one": lambda table: table.attention_factor > 1,
    "a factor below one": lambda table: table.attention_factor < 1,
    "a zero inside": lambda table: not table.theta[0] and table.theta.any(),
    "a negative frequency": lambda table: (table.theta < 0).any(),
    "equal frequencies": lambda table: table.theta.size > 1 and table.theta[0] == table.theta[1] != 0,
    "another base": lambda table: table.base is not None and table.base != 1e4,
    "longer than trained": lambda table: kind_of(table) == "dynamic" and table.theta[-1] < 0.9 * schedules.default(
        table.rotary_dim, table.base)[-1] and table.rotary_dim == table.head_dim,
    "no long factors": lambda table: kind_of(table) == "longrope" and table.theta[0] == 1,
    "a truncated ramp": lambda table: kind_of(table) == "yarn" and table.scaling.get("truncate") is True,
    "a ramp that is not": lambda table: kind_of(table) == "yarn" and table.scaling.get("truncate") is False,
    "both mscales": lambda table: {"mscale", "mscale_all_dim"} <= set(table.scaling or ()),
    "its own attention factor": lambda table: "attention_factor" in (table.scaling or ()),
    "p-RoPE with zeros": lambda table: kind_of(table) == "proportional" and not table.theta[-1] and table.theta[0],
}


@pytest.mark.parametrize("branch", BRANCHES_OF_BANDS)
def test_every_branch_of_a_table_is_reached(branch):
    assert BRANCHES_OF_BANDS[branch](some(strategies.bands(), BRANCHES_OF_BANDS[branch]))


@given(st.data(), st.integers(1, 40), st.integers(0, 8), st.booleans())
def test_tables_keep_to_their_arguments(data, least_pairs, more, partial):
    kinds = data.draw(st.lists(st.sampled_from(strategies.BANDS), min_size=1))
    if least_pairs + more == 1:
        kinds = [kind for kind in kinds if kind not in ("ntk", "dynamic")] or ["default"]
    table = data.draw(strategies.bands(kinds=kinds, min_pairs=least_pairs, max_pairs=least_pairs + more,
                                       partial=partial))
    assert kind_of(table) in kinds and least_pairs <= table.theta.size <= least_pairs + more
    assert partial or table.rotary_dim == table.head_dim
    assert bands.Bands(table.theta, table.rotary_dim, table.attention_factor, table.layout).equals(table)


def test_tables_shrink_to_one_pair_of_a_simple_frequency():
    assert least(strategies.bands()).theta.size == 1
    for kind, theta in (("custom", [0.0]), ("default", [1.0]), ("yarn", [1.0]), ("ntk", [1.0, 0.01])):
        table = least(strategies.bands(kinds=[kind]))
        assert table.theta.tolist() == theta
        assert (table.attention_factor, table.layout, table.context) == (1, "half", None)


def test_plain_frequencies_may_be_written_to():
    theta = least(strategies.thetas(kinds=["default"], min_pairs=2))
    theta[0] = 7
    assert theta.tolist() == [7, 0.01]


# Heads

@pytest.mark.parametrize("kind", strategies.HEADS)
def test_every_kind_of_head_is_drawn_bare_and_wrapped(kind):
    assert type(bare(some(strategies.heads(), lambda head: type(bare(head)) is CLASSES[kind]))) is CLASSES[kind]
    for wanted in ([], ["Sink", "Factor", "Noise"]):
        head = some(strategies.heads(kinds=[kind]), lambda head: layers(head) == wanted)
        assert type(bare(head)) is CLASSES[kind]


def test_the_kinds_are_the_heads_that_there_are():
    defined = {value for module in (ensembles, gaussians, processes, wrappers) for value in vars(module).values()
               if isinstance(value, type) and hasattr(value, "sample") and hasattr(value, "__dataclass_fields__")}
    assert set(CLASSES) == set(strategies.HEADS)
    assert defined == {*CLASSES.values(), wrappers.Noise, wrappers.Factor, wrappers.Sink, gaussians.Around,
                       gaussians.Isotropic}


@pytest.mark.parametrize("wanted", [["Noise"], ["Factor"], ["Sink"], ["Factor", "Noise"], ["Sink", "Factor"]])
def test_every_set_of_wrappers_is_drawn(wanted):
    off = {name: False for name in ("noise", "factor", "sink") if name.capitalize() not in wanted}
    assert layers(some(strategies.heads(**off), lambda head: layers(head) == wanted)) == wanted


BRANCHES_OF_HEADS = {
    "random": lambda head: head.ensemble.random, "not random": lambda head: not head.ensemble.random,
    "a lag": lambda head: getattr(bare(head), "lag", 0) == head.length - 1 > 0,
    "a phase": lambda head: any(getattr(bare(head), "phase", ())),
    "correlated": lambda head: getattr(bare(head), "correlation", 0) < 0,
    "a singular covariance": lambda head: isinstance(bare(head), gaussians.FullGaussian) and bare(head).random
    and np.linalg.matrix_rank(bare(head).cov_q) < len(bare(head).cov_q),
    "a full cone": lambda head: getattr(bare(head), "cosine", 0) == 1,
    "a constant walk": lambda head: getattr(bare(head), "step", 1) == 0,
    "more than one season": lambda head: 1 < getattr(bare(head), "period", 0) < head.length,
    "a scaled sink": lambda head: getattr(head.ensemble, "scale", 1) != 1,
    "a sink that repels": lambda head: getattr(head.ensemble, "margin", 0) < 0,
    "a factor on some pairs": lambda head: 0 < getattr(head.ensemble, "pairs", 0) < head.theta.size,
    "one token, three pairs": lambda head: (head.length, head.theta.size) == (1, 3),
    "eight tokens": lambda head: head.length == 8,
}


@pytest.mark.parametrize("branch", BRANCHES_OF_HEADS)
def test_every_branch_of_a_head_is_reached(branch):
    assert BRANCHES_OF_HEADS[branch](some(strategies.heads(), BRANCHES_OF_HEADS[branch]))


@given(strategies.heads(), st.integers(0, 2 ** 32 - 1))
def test_heads_can_be_sampled_and_have_moments(head, seed):
    q, k, theta = head.ensemble.sample(head.length, np.random.default_rng(seed), head.theta)
    assert q.shape == k.shape == (head.length, theta.size) and q.dtype == k.dtype == complex
    assert np.isfinite(q).all() and np.isfinite(k).all()
    assert theta.size - head.theta.size == ("Sink" in layers(head))
    moments = head.ensemble.moments(head.length, head.theta)
    for cov in (moments.cov_q, moments.cov_k):
        assert np.linalg.eigvalsh(cov).min() >= -FLOAT * max(1, np.abs(cov).max())
    np.testing.assert_allclose(sum(part.share for part in head.ensemble.parts(head.length, head.theta)), 1, rtol=EXACT)


@given(strategies.heads(min_pairs=20, max_pairs=40, min_length=50, max_length=100, kinds=strategies.HEADS[:6]))
def test_large_heads_are_drawn_as_well(head):
    assert 20 <= head.theta.size <= 40 and 50 <= head.length <= 100
    assert head.ensemble.mean(head.theta).q.shape == head.theta.shape


def test_heads_shrink_to_one_constant_token_without_a_phase():
    head = least(strategies.heads())
    assert (head.ensemble, head.theta.size, head.length) == (ensembles.Constant((0.0,), (0.0,)), 1, 1)
    walk = least(strategies.heads(kinds=["random-walk"]), lambda head: head.ensemble.random)
    assert (walk.theta.size, walk.length) == (1, 1)
    assert walk.ensemble == processes.RandomWalk(step=1.0, length=1, strength=0.0)


# Queries and keys

BRANCHES_OF_TOKENS = {
    "all tokens alike": lambda q: len(q) > 2 and q.any() and (q == q[0]).all(),
    "two different tokens": lambda q: len(q) > 1 and (q[0] != q[1]).all(),
    "some tokens alike": lambda q: len(q) == 8 and 1 < len({*map(bytes, q)}) <= 4,
    "a massive pair": lambda q: np.abs(q).max() > 4 * np.sqrt(2) and q.shape[1] == 3,
    "nothing": lambda q: not q.any(), "one token": lambda q: len(q) == 1, "three pairs": lambda q: q.shape[1] == 3,
}


@pytest.mark.parametrize("branch", BRANCHES_OF_TOKENS)
def test_every_branch_of_queries_is_reached(branch):
    condition = BRANCHES_OF_TOKENS[branch]
    assert condition(some(strategies.queries_and_keys(), lambda drawn: condition(drawn[0]))[0])


@given(strategies.queries_and_keys(min_length=2))
def test_queries_and_keys_go_into_a_simulation(drawn):
    q, k, theta = drawn
    assert q.dtype == k.dtype == complex and q.shape == k.shape == (len(q), theta.size) and len(q) >= 2
    scores = simulate.attention.scores(q, k, theta)
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=EXACT)


@given(strategies.queries_and_keys(kinds=["same", "normal", "repeated"], size=0.5, max_pairs=64, max_length=300))
def test_components_keep_to_their_size_also_in_large_arrays(drawn):
    q, k, _ = drawn
    assert max(np.abs(part).max() for part in (q.real, q.imag, k.real, k.imag)) <= 0.5


def test_queries_and_keys_shrink_to_one_token_of_zeros():
    q, k, theta = least(strategies.queries_and_keys())
    assert (q.tolist(), k.tolist(), theta.size) == ([[0]], [[0]], 1)
    q, k, theta = least(strategies.queries_and_keys(), lambda drawn: drawn[0].any())
    assert q.shape == (1, 1) and not k.any()


# Scores

def one_hot(matrix):
    return ((matrix == 0) | (matrix == 1)).all()


BRANCHES_OF_SCORES = {
    "uniform": lambda s: len(s) == 8 and np.array_equal(s, np.tril(np.ones((8, 8))) / np.arange(1, 9)[:, None]),
    "one-hot off the diagonal": lambda s: one_hot(s) and s[-1, -1] == 0,
    "one-hot rows among others": lambda s: (s[-1] == 1).any() and not one_hot(s),
    "near-tie": lambda s: len(s) > 1 and 0 < np.ptp(s[1, :2]) < 1e-9,
    "tie": lambda s: len(s) == 8 and not one_hot(s) and (s[-1] == s[-1, 0]).all(),
    "sharp": lambda s: len(s) > 3 and 0.999 < s[-1].max() < 1,
    "flat": lambda s: len(s) > 3 and 0.01 < np.ptp(s[-1]) < 0.1 and s[-1].all(),
    "window": lambda s: len(s) == 8 and not one_hot(s) and not np.tril(s, -2).any(),
    "no window": lambda s: len(s) == 8 and s[-1, 0] > 0,
    "window of one": lambda s: len(s) > 1 and (s == np.eye(len(s))).all(),
}


@pytest.mark.parametrize("branch", BRANCHES_OF_SCORES)
def test_every_branch_of_scores_is_reached(branch):
    assert BRANCHES_OF_SCORES[branch](some(strategies.scores(), BRANCHES_OF_SCORES[branch]))


@pytest.mark.parametrize("kind", strategies.SCORES)
def test_every_kind_of_scores_can_be_had_alone(kind):
    assert len(least(strategies.scores(kinds=[kind], min_length=3, window=False))) == 3


@given(st.data(), st.sampled_from([8, 150]))
def test_scores_are_causal_and_their_rows_sum_to_one(data, longest):
    scores = data.draw(strategies.scores(max_length=longest))
    assert len(scores) <= longest and (scores >= 0).all() and not np.triu(scores, 1).any()
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=EXACT)
    assert np.isnan(patterns.re_access(scores)) or 0 <= patterns.re_access(scores) <= 1


@given(strategies.scores(window=False, kinds=["uniform", "near-tie"]))
def test_without_a_window_every_key_is_seen(scores):
    assert (scores[np.tril_indices(len(scores))] > 0).all()


def test_scores_shrink_to_one_token_and_uniform_rows():
    assert least(strategies.scores()).tolist() == [[1.0]]
    assert least(strategies.scores(), lambda scores: len(scores) > 1).tolist() == [[1.0, 0.0], [0.5, 0.5]]


# Bad arguments

@pytest.mark.parametrize("call, name", [
    (lambda: strategies.bands(kinds=["yran"]), "kinds"), (lambda: strategies.bands(kinds=[]), "kinds"),
    (lambda: strategies.bands(kinds="yran"), "kinds"), (lambda: strategies.bands(min_pairs=0), "min_pairs"),
    (lambda: strategies.bands(min_pairs=5), "max_pairs"), (lambda: strategies.thetas(max_pairs=1.5), "max_pairs"),
    (lambda: strategies.bands(kinds=["ntk"], max_pairs=1), "max_pairs"),
    (lambda: strategies.heads(kinds=["slahs"]), "kinds"), (lambda: strategies.heads(max_length=0), "max_length"),
    (lambda: strategies.queries_and_keys(kinds=["odd"]), "kinds"),
    (lambda: strategies.queries_and_keys(size=0), "size"), (lambda: strategies.queries_and_keys(size=np.inf), "size"),
    (lambda: strategies.scores(kinds=["flat"]), "kinds"), (lambda: strategies.scores(min_length=9), "max_length"),
])
def test_bad_arguments_are_refused_before_anything_is_drawn(call, name):
    with pytest.raises(RopesimError) as caught:
        call()
    assert caught.value.name == name


def test_one_kind_may_be_a_bare_name():
    assert kind_of(least(strategies.bands(kinds="ntk"))) == "ntk"
