"""What leaving frequency pairs unrotated does to the scores of actual queries and keys."""

import numpy as np

from ..errors import RopesimError, array, whole
from ..patterns import Profile
from ..removal import unrotated
from . import attention


def scores(q: np.ndarray, k: np.ndarray, theta: np.ndarray, removed: np.ndarray, *, scale: float = 1.0,
           window: int = 0) -> np.ndarray:
    """Score matrix with the pairs `removed` left unrotated, float64[T, T].

    removed: whole numbers from 0 to B-1, each once; other arguments and errors as for `simulate.attention.scores`.

        S' of (S-scores) with theta' = 0 on the removed pairs                     (A-removal)

    Source: Cheng et al. 2026 (2601.08297), section 4.

    >>> scores([[0], [9j]], [[9j], [9]], [1e-3], [0]).round(6)
    array([[1., 0.],
           [1., 0.]])
    """
    return attention.scores(q, k, unrotated(theta, removed), scale=scale, window=window)


def profile(q: np.ndarray, k: np.ndarray, theta: np.ndarray, removed: np.ndarray, *, scale: float = 1.0,
            skip: int = 0, window: int = 0) -> Profile:
    """Profile with the pairs `removed` left unrotated, streamed, float64[T] each.

    removed as for `scores`; other arguments and errors as for `simulate.attention.profile`.

        the profile (S-profile) with theta' = 0 on the removed pairs              (A-removal)

    >>> profile(np.ones((2, 1)), np.ones((2, 1)), [np.pi], [0]).received
    array([0.75, 0.5 ])
    """
    return attention.profile(q, k, unrotated(theta, removed), scale=scale, skip=skip, window=window)


def slash_ratio(q: np.ndarray, k: np.ndarray, theta: np.ndarray, removed: np.ndarray, lag: int, *,
                scale: float = 1.0, skip: int = 0, window: int = 0) -> float:
    """Average slash score at `lag` with the pairs `removed` left unrotated, over the score without removal.

    lag from 0 to T - 1 - skip; a score of 0 before removal is refused; other arguments and errors as for `profile`.

        slash'(lag) / slash(lag),  slash' from theta' = unrotated(theta, removed)   (A-removal)

    Source: Cheng et al. 2026 (2601.08297), section 4, Fig. 16.

    >>> round(slash_ratio(np.full((2, 1), 9.0), np.ones((2, 1)), [np.pi], [0], 0), 6)
    0.75
    """
    length = len(array("q", q, [None, None], np.complex128))
    lag = whole("lag", lag, least=0, most=length - 1 - whole("skip", skip, least=0))
    before = float(attention.profile(q, k, theta, scale=scale, skip=skip, window=window).slash[lag])
    after = float(profile(q, k, theta, removed, scale=scale, skip=skip, window=window).slash[lag])
    if not before:
        raise RopesimError("lag", lag, "use a lag with a positive score")
    return after / before
