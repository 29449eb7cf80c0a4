"""The durable journal of predictions and outcomes: append-only, acknowledged after fdatasync, compacted to Parquet."""

from clew.serving.journal.compact import compact, compact_segment, drop_before, drop_segment, rewrite_segment
from clew.serving.journal.counts import Answered, answered, seals
from clew.serving.journal.find import find_prediction, outcomes_of
from clew.serving.journal.reader import JournalReader, Watermark
from clew.serving.journal.records import Outcome, Prediction, Record, Role, Scalar, Shadow
from clew.serving.journal.recover import seal_abandoned
from clew.serving.journal.seal import Seal
from clew.serving.journal.segment import Position
from clew.serving.journal.writer import Journal

__all__ = [
    "Answered",
    "Journal",
    "JournalReader",
    "Outcome",
    "Position",
    "Prediction",
    "Record",
    "Role",
    "Scalar",
    "Seal",
    "Shadow",
    "Watermark",
    "answered",
    "compact",
    "compact_segment",
    "drop_before",
    "drop_segment",
    "find_prediction",
    "outcomes_of",
    "rewrite_segment",
    "seal_abandoned",
    "seals",
]
