"""Pictures that the server draws: SVG without scripts or styles of its own, coloured by the page's style sheet."""

from clew.hub.pictures.chain import chain
from clew.hub.pictures.curves import evidence_curve, interval_band, share_curve
from clew.hub.pictures.small import bar, shares, spark

__all__ = ["bar", "chain", "evidence_curve", "interval_band", "share_curve", "shares", "spark"]
