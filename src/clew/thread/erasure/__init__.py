"""Erasing a person: from every version, from what was derived, from the journal; with a receipt that names nobody."""

from clew.thread.erasure.erase import erase, plan_erasure
from clew.thread.erasure.receipts import marked_versions, receipts

__all__ = ["erase", "marked_versions", "plan_erasure", "receipts"]
