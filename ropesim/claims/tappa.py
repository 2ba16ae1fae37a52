"""Claims of Yang et al. 2026 (TAPPA, 2601.21709), in the order of the paper: stability, spacing, q-similarity."""

from . import tappa_similarity, tappa_spacing, tappa_stability
from .claim import Claim

CLAIMS: tuple[Claim, ...] = (*tappa_stability.CLAIMS, *tappa_spacing.CLAIMS, *tappa_similarity.CLAIMS)
