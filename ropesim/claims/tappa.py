"""Claims of Yang et al. 2026 (TAPPA, 2601.21709): stability of logits, then of scores, spacing, q-similarity."""

from . import tappa_scores, tappa_similarity, tappa_spacing, tappa_stability
from .claim import Claim

CLAIMS: tuple[Claim, ...] = (*tappa_stability.CLAIMS, *tappa_scores.CLAIMS, *tappa_spacing.CLAIMS,
                             *tappa_similarity.CLAIMS)
