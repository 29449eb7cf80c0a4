"""Pictures that the server draws: SVG without scripts or styles of its own, coloured by the page's style sheet."""

from clew.hub.pictures.chain import chain
from clew.hub.pictures.curves import evidence_curve, interval_band, share_curve
from clew.hub.pictures.effects import effects
from clew.hub.pictures.network import network
from clew.hub.pictures.plan import plan
from clew.hub.pictures.small import bar, shares, spark
from clew.hub.pictures.trials import best_so_far, over_parameter

__all__ = [
    "bar",
    "best_so_far",
    "chain",
    "effects",
    "evidence_curve",
    "interval_band",
    "network",
    "over_parameter",
    "plan",
    "share_curve",
    "shares",
    "spark",
]
