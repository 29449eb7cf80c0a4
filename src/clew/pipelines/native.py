"""What reads without being seen: libraries with readers of their own, and the clock."""

from typing import Final

LIBRARIES: Final = frozenset(
    (
        "_ctypes", "adbc_driver_manager", "adbc_driver_postgresql", "av", "cffi", "chdb", "connectorx",
        "ctypes", "cv2", "deltalake", "duckdb", "faiss", "fasttext", "fiona", "grpc", "h5py", "lance", "lmdb",
        "lxml", "netCDF4", "obstore", "onnxruntime", "oracledb", "osgeo", "plyvel", "psycopg", "psycopg2",
        "pycurl", "pyiceberg", "pymssql", "pyodbc", "pyogrio", "pyreadstat", "rasterio", "safetensors",
        "sentencepiece", "soundfile", "tables", "tensorflow", "tokenizers", "torchaudio", "torchvision",
        "turbodbc", "vaex",
    )
)  # fmt: skip
"""Libraries that read files or the network in native code."""
CLOCK: Final = frozenset(("now", "today", "utcnow"))
"""Methods that ask the clock by a call that Python's audit events don't tell of."""
