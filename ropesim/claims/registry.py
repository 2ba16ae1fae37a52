"""The claims by source and id."""

from ..errors import RopesimError
from . import mixing, rope, sinks, slash, tappa
from .claim import Claim

SOURCES: dict[str, tuple[Claim, ...]] = {"rope": rope.CLAIMS, "slash": slash.CLAIMS, "tappa": tappa.CLAIMS,
                                         "sinks": sinks.CLAIMS, "mixing": mixing.CLAIMS}


def find(names: tuple[str, ...] = ()) -> list[Claim]:
    """The claims of these sources, or with these ids, each once, in the order of the files; without names all of them.

    Raises RopesimError for a name that is neither.

    >>> find(("rope-shift",))[0].source
    'Su et al. 2021 (2104.09864), section 3.2.2, eq. 11-16'
    """
    known = [claim for claims in SOURCES.values() for claim in claims]
    for name in names:
        if name not in SOURCES and name not in {claim.id for claim in known}:
            near = SOURCES.get(name.split("-")[0], ())
            raise RopesimError("claim", name, f"use a source ({', '.join(SOURCES)}) or an id"
                               + (f" ({', '.join(claim.id for claim in near)})" if near else ""))
    return [claim for claim in known if not names or claim.id in names or claim.id.split("-")[0] in names]
