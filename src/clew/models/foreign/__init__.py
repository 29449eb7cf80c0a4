"""Models that came from elsewhere: MLflow's folders and ONNX files, registered with provenance `imported`."""

from clew.models.foreign.importing import import_model

__all__ = ["import_model"]
