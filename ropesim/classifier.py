"""The name of a pattern: the measures of `patterns` against thresholds.

The thresholds are ours. Yang et al. 2026 and the other papers name the patterns and print no threshold.
"""

from typing import NamedTuple

import numpy as np

from .patterns import Period, periodic_sequential, re_access, seasonal, sequential

DIFFUSE = 0.25      # mean TV from uniform attention up to which a head has no pattern of its own
PREDICTABLE = 0.8   # re-access, sequential or seasonal from which on the next row is known
PERIODIC = 0.5      # autocorrelation from which on diagonals are parallel
LONGEST = 64        # longest season that is tried


class Pattern(NamedTuple):
    """The measures of a score matrix and the name they give it, from `classify` (P-classify).

    diffuse: mean TV of the rows from uniform attention; re_access, sequential, seasonal: as the functions, nan where no
    row counts; season: the L of `seasonal`, 0 if none was tried; periodic: a `Period`.

    >>> classify(np.eye(4)).season
    2
    """

    name: str
    diffuse: float
    re_access: float
    sequential: float
    seasonal: float
    season: int
    periodic: Period


def classify(scores: np.ndarray) -> Pattern:
    """Name of the pattern of a score matrix, and the measures behind it.

    scores and errors as for `re_access`. The first that holds gives the name:

        "diffuse"               mean_i TV(A_i, uniform) <= 0.25 (DIFFUSE)
        "re-access"             re_access >= 0.8 (PREDICTABLE) and >= sequential
        "periodic-sequential"   sequential >= 0.8 and periodic strength >= 0.5 (PERIODIC)
        "sequential"            sequential >= 0.8
        "seasonal"              seasonal(L) >= 0.8, best L from 2 to min(64, T/2) (LONGEST)
        "unpredictable"                                                           (P-classify)

    The papers print no thresholds: these are ours. Uniform attention is maximal in three measures, hence "diffuse".
    Of several L the first best counts. O(T^2 min(64, T)).
    Source: the names, Yang et al. 2026 (2601.21709), section 4.

    >>> classify(np.eye(8)).name
    'sequential'
    """
    vertical, diagonal = re_access(scores), sequential(scores)
    scores = np.asarray(scores, dtype=np.float64)
    length = len(scores)
    flat = np.tri(length) / np.arange(1, length + 1)[:, None]
    seasons = {n: seasonal(scores, n) for n in range(2, min(LONGEST, length // 2) + 1)}
    season = max(seasons, key=lambda n: np.nan_to_num(seasons[n], nan=-1.0), default=0)
    slash = np.array([np.diagonal(scores, -lag).mean() for lag in range(length)])
    measures = (float(np.abs(scores - flat).sum(axis=1).mean() / 2), vertical, diagonal,
                seasons.get(season, np.nan), season, periodic_sequential(np.minimum(slash, 1.0)))
    return Pattern(_name(*measures), *measures)


def _name(diffuse: float, vertical: float, diagonal: float, seasonal: float, _: int, periodic: Period) -> str:
    if diffuse <= DIFFUSE:
        return "diffuse"
    if vertical >= PREDICTABLE and not diagonal > vertical:    # diagonal may be nan
        return "re-access"
    if diagonal >= PREDICTABLE:
        return "periodic-sequential" if periodic.strength >= PERIODIC else "sequential"
    return "seasonal" if seasonal >= PREDICTABLE else "unpredictable"
