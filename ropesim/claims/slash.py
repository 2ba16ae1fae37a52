"""Claims of Cheng et al. 2026, Demystifying the Slash Pattern in Attention (arXiv 2601.08297)."""

from . import slash_controls, slash_descent, slash_frequencies, slash_scores, slash_shift, slash_training
from .claim import Claim

CLAIMS: tuple[Claim, ...] = (*slash_scores.CLAIMS, *slash_frequencies.CLAIMS, *slash_training.CLAIMS,
                             *slash_descent.CLAIMS, *slash_controls.CLAIMS, *slash_shift.CLAIMS)
