"""Claims about attention sinks: variance of aggregation, score and margin of a sink, and what normalisation does."""

from . import sinks_channels, sinks_score, sinks_variance

CLAIMS = (*sinks_variance.CLAIMS, *sinks_score.CLAIMS, *sinks_channels.CLAIMS)
