"""Predicted beside simulated: stacks of layers, the chain from variance to a sink, before and after interventions."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from .errors import RopesimError, number, whole
from .point import agrees
from .predict import chain as predict_chain
from .predict import mixing as predict_mixing
from .simulate import chain as simulate_chain
from .simulate import mixing as simulate_mixing
from .stacks import Chain, Rows, Stack, check_cost

STAGES = {"variance": 1, "energy": 1, "dominance": 1, "key": 1, "received": 2}     # of the chain, and the layer of each
Row = dict[str, Any]
Progress = Callable[[Iterable[Any]], Iterable[Any]]


class Study(NamedTuple):
    """What `ropesim depth` is about: a stack, a chain (either may be missing), and how often each is drawn."""

    stack: Stack | None = Stack()
    chain: Chain | None = Chain()
    samples: int = 64          # of the stack; thousands of rows are held to five standard errors, so few will not do
    sequences: int = 400       # of the chain
    seed: int = 0


def intervened(study: Study, text: str) -> Study:
    """The study after an intervention, NAME or NAME:ARGS; what it does not touch is left out.

    mask:K: token K sees itself alone. amplify:K:LAMBDA: in the chain, o_K moves away from its mean by LAMBDA.
    scale:K:LAMBDA: in the chain, o_K is multiplied. headnorm: head-wise norm. drop-bos: no sink at key 0, and no token
    that all documents see. pack:M: documents of M tokens that do not see each other. Raises RopesimError otherwise.

    >>> intervened(Study(), "mask:10").stack.alone, intervened(Study(), "pack:16").chain
    ((10,), None)
    """
    name, *given = text.split(":")
    kinds: dict[str, tuple[type, ...]] = {"mask": (int,), "amplify": (int, float), "scale": (int, float),
                                          "headnorm": (), "drop-bos": (), "pack": (int,)}
    if name not in kinds:
        raise RopesimError("--intervene", text, f"use one of {', '.join(USAGE)}")
    try:
        args = [kind(one) for kind, one in zip(kinds[name], given, strict=True)]
    except ValueError:
        raise RopesimError("--intervene", text, f"write {next(use for use in USAGE if use.startswith(name))}") from None
    stack, chain = study.stack, study.chain
    try:
        if name in ("mask", "amplify", "scale"):
            at = whole("position", args[0], least=0)
            factor = number("LAMBDA", args[1], least=0) if len(args) > 1 else 1.0
            chain = chain and replace(chain, intervene=name, at=at, factor=factor)
            stack = replace(stack, alone=(*stack.alone, at)) if stack and name == "mask" else None
        elif name == "headnorm":
            chain, stack = chain and replace(chain, intervene=name), stack and replace(stack, head_norm=True)
        else:
            chain = None
            without = {"shared": False, "value": 1.0, "rows": stack and Rows(tau=stack.rows.tau, kind=stack.rows.kind)}
            stack = stack and replace(stack, **(without if name == "drop-bos" else
                                                {"document": whole("M", args[0], least=1)}))
    except RopesimError as error:
        raise RopesimError(f"--intervene {text}, {error.name}", error.value, error.remedy) from None
    if stack is None and chain is None:
        missing = "[chain]" if name in ("amplify", "scale") else "[stack]"
        raise RopesimError("--intervene", text, f"add a {missing} table, that is what it acts on")
    return study._replace(stack=stack, chain=chain)


USAGE = ("mask:K", "amplify:K:LAMBDA", "scale:K:LAMBDA", "headnorm", "drop-bos", "pack:M")


def depth(study: Study, interventions: Iterable[str] = (), progress: Progress = iter) -> list[Row]:
    """Rows before and after interventions, of the stack and of the chain, each with the intervention (None: before).

    agrees: |predicted - simulated| <= error + 5 stderr + 1e-9, None where one is unknown. Raises RopesimError for what
    makes no sense, or takes over an hour or 4 GB (`stacks.check_cost`), before anything is computed.     (V-agrees)

    >>> rows = depth(Study(stack=Stack(layers=1, length=4, width=8), chain=None, samples=4))
    >>> [row["simulated"] for row in rows if row["quantity"] == "variance" and row["position"] == 0]
    [1.0]
    """
    parts: list[tuple[str | None, Stack | Chain]] = []
    for text in [None, *dict.fromkeys(interventions)]:
        after = study if text is None else intervened(study, text)
        parts += [(text, part) for part in (after.stack, after.chain) if part is not None]
    for _, part in parts:                              # before the first is computed
        check_cost(part, study.samples if isinstance(part, Stack) else study.sequences)
        if isinstance(part, Chain) and part.length > predict_chain.LONGEST:
            raise RopesimError("chain.length", part.length, f"use a length of at most {predict_chain.LONGEST}")
    from threadpoolctl import threadpool_limits
    rows: list[Row] = []
    with threadpool_limits(1, "blas"):                 # matrices are small: more threads only wait for each other
        for text, part in progress(parts):
            rows += [{"intervention": text, **row} for row in (
                stack_rows(part, study.samples, study.seed) if isinstance(part, Stack) else
                chain_rows(part, study.sequences, study.seed))]
    return rows


def stack_rows(stack: Stack, samples: int, seed: int) -> list[Row]:
    """The rows of a stack, quantity by quantity, layer by layer, position by position.

    layer, position, quantity, predicted, error, simulated, stderr, agrees. Layer 0 is the start. `sensitivity` is that
    of the last token after the last layer, by the token perturbed at first; `received` and `sink` are those of key 0;
    position is None for what belongs to all tokens.

    >>> len(stack_rows(Stack(layers=2, length=3, width=8), 2, 0))
    28
    """
    values, errors = predict_mixing.expected(stack)
    means, stderr = simulate_mixing.run(stack, samples, seed)
    rows = []
    for name, value in values.items():
        for index in np.ndindex(value.shape):
            rows.append(_row(name, *_place(name, index, stack.layers, len(value)),
                             *(float(part[name][index]) for part in (values, errors, means, stderr))))
    return rows


def _place(name: str, index: tuple[int, ...], layers: int, size: int) -> tuple[int, int | None]:
    """Layer and position of an entry: arrays of `layers` begin after the first layer, longer ones at the start."""
    if name == "sensitivity":
        return layers, index[0]
    layer = index[0] + (size == layers)
    return layer, index[1] if len(index) > 1 else 0 if name in ("received", "sink") else None


def chain_rows(chain: Chain, sequences: int, seed: int) -> list[Row]:
    """The rows of a chain, stage by stage, position by position; quantities are called `chain-<stage>`.

    >>> len(chain_rows(Chain(length=4, width=16), 8, 0))
    20
    """
    predicted, drawn = predict_chain.expected(chain), simulate_chain.run(chain, sequences, seed)
    return [_row(f"chain-{name}", layer, position, *map(float, numbers)) for name, layer in STAGES.items()
            for position, numbers in enumerate(zip(*predicted[name], *drawn[name]))]


def _row(quantity: str, layer: int, position: int | None, predicted: float, error: float, simulated: float,
         stderr: float) -> Row:
    return {"layer": layer, "position": position, "quantity": quantity, "predicted": predicted, "error": error,
            "simulated": simulated, "stderr": stderr,
            "agrees": agrees(predicted, error, simulated, stderr)}
