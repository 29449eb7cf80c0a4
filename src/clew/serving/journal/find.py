"""From an id back to a prediction and its outcomes, opening only the segments whose seals and indexes allow it."""

from pathlib import Path

from clew.serving.journal.reader import extent, open_segment
from clew.serving.journal.records import Outcome, Prediction
from clew.serving.journal.segment import compacted_generation, compacted_path, segments, writers


def find_prediction(folder: Path, prediction_id: str) -> Prediction | None:
    """The prediction of this id in the journal `folder`, None when no writer recorded it (or it was dropped).

    Raises:
        IntegrityError: a segment that can hold it is damaged.
    """
    for writer in writers(folder):
        for number in reversed(segments(writer)):
            seal, stop = extent(writer, number)
            if stop == 0 or (seal is not None and not seal.predictions.may_hold(prediction_id)):
                continue
            if not _indexed(writer, number, prediction=prediction_id):
                continue
            segment = open_segment(writer, number, stop)
            if segment is None:
                continue
            with segment:
                found = segment.prediction(prediction_id)
            if found is not None:
                return found
    return None


def outcomes_of(folder: Path, prediction_id: str) -> list[Outcome]:
    """All outcomes that name this prediction by its id, whoever recorded them, by `recorded_at`.

    Raises:
        IntegrityError: a segment that can hold one is damaged.
    """
    found: list[Outcome] = []
    for writer in writers(folder):
        for number in segments(writer):
            seal, stop = extent(writer, number)
            if stop == 0 or (seal is not None and not seal.outcomes.may_hold(prediction_id)):
                continue
            if not _indexed(writer, number, outcomes_of=prediction_id):
                continue
            segment = open_segment(writer, number, stop)
            if segment is not None:
                with segment:
                    found += segment.outcomes(prediction_id)
    return sorted(found, key=lambda outcome: outcome.recorded_at)


def _indexed(writer: Path, number: int, **wanted: str) -> bool:
    """Whether the segment may hold it, as far as its index tells; a raw one has none."""
    generation = compacted_generation(writer, number)
    if not generation:
        return True
    from clew.serving.journal.compacted import CompactedSegment  # loads pyarrow

    return CompactedSegment.may_hold(compacted_path(writer, number, generation), **wanted)
