"""Claims about attention sinks: variance of aggregation, score, margin, normalisation and interventions."""

from . import sinks_channels, sinks_interventions, sinks_score, sinks_variance

CLAIMS = (*sinks_variance.CLAIMS, *sinks_score.CLAIMS, *sinks_channels.CLAIMS, *sinks_interventions.CLAIMS)
