"""What one would write: the Profile from the whole T x T score matrix."""

import numpy as np


def profile(logits: np.ndarray) -> tuple[np.ndarray, ...]:
    """Slash, received, entropy and participation of logits[i, j], -inf where row i does not see key j."""
    length = len(logits)
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores /= scores.sum(axis=1, keepdims=True)
    slash = np.array([np.diagonal(scores, -d).mean() for d in range(length)])
    received = scores.sum(axis=0) / np.arange(length, 0, -1)
    logs = np.log(scores, out=np.zeros_like(scores), where=scores > 0)
    return slash, received, -(scores * logs).sum(axis=1), (scores ** 2).sum(axis=1)
