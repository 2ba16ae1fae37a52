"""What leaving frequency pairs unrotated does to a head whose logits depend on the lag alone."""

import numpy as np

from ..errors import RopesimError, whole
from ..removal import unrotated
from . import attention


def logits(amplitude: np.ndarray, phase: np.ndarray, theta: np.ndarray, removed: np.ndarray,
           length: int) -> np.ndarray:
    """Logits by lag with the pairs `removed` left unrotated, float64[length].

    removed: whole numbers from 0 to B-1, each once; other arguments and errors as for `predict.attention.lag_logits`.
    Exact up to rounding. A removed pair adds amplitude cos(phase) at every lag, which the softmax does not see.

        logit(lag) = sum_{b kept} A_b cos(theta_b lag + phase_b) + sum_{b removed} A_b cos(phase_b)   (A-removal)

    Source: Cheng et al. 2026 (2601.08297), section 4, eq. 9.

    >>> logits([1.0, 1.0], [0.0, 0.0], [np.pi, 1.0], [1], 3).round(12)
    array([2., 0., 2.])
    """
    return attention.lag_logits(amplitude, phase, unrotated(theta, removed), length)


def slash_ratio(amplitude: np.ndarray, phase: np.ndarray, theta: np.ndarray, removed: np.ndarray, length: int,
                lag: int, *, skip: int = 0, window: int = 0) -> float:
    """Average slash score at `lag` with the pairs `removed` left unrotated, over the score without removal.

    lag from 0 to length - 1 - skip; a score of 0 before removal is refused; other arguments and errors as for `logits`
    and `predict.attention.profile`. Exact up to rounding.

        slash'(lag) / slash(lag),  slash' from theta' = unrotated(theta, removed)   (A-removal)

    Source: Cheng et al. 2026 (2601.08297), section 4, Fig. 16.

    >>> round(slash_ratio([9.0], [0.0], [np.pi], [0], 2, 0), 6)
    0.75
    """
    length, skip = whole("length", length, least=1), whole("skip", skip, least=0)
    lag = whole("lag", lag, least=0, most=length - 1 - skip)
    before, after = (float(attention.slash(x, skip=skip, window=window)[lag]) for x in (
        attention.lag_logits(amplitude, phase, theta, length), logits(amplitude, phase, theta, removed, length)))
    if not before:
        raise RopesimError("lag", lag, "use a lag with a positive score")
    return after / before
