"""A long array of numbers that is appended to and read in stretches; in memory while it is short, then in a file."""

import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_IN_MEMORY: Final = 16 << 20  # numbers


class NumbersFile:
    """Numbers of eight bytes. Close it, or use it as a context manager: the file goes with it."""

    def __init__(self, folder: Path, dtype: Any) -> None:
        self._folder = folder
        self._dtype = np.dtype(dtype)
        self._parts: list[npt.NDArray[Any]] = []
        self._file: Any = None
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def in_memory(self) -> bool:
        """Whether all numbers are held in memory."""
        return self._file is None

    def append(self, numbers: npt.NDArray[Any]) -> None:
        """Add numbers at the end."""
        self._length += len(numbers)
        if self._file is None and self._length > _IN_MEMORY:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed by close()
            for part in self._parts:
                part.tofile(self._file)
            self._parts = []
        if self._file is None:
            self._parts.append(numbers)
        else:
            self._file.seek(0, 2)
            np.ascontiguousarray(numbers, dtype=self._dtype).tofile(self._file)

    def read(self, start: int = 0, count: int | None = None) -> npt.NDArray[Any]:
        """So many numbers from such a place; all, if nothing is said."""
        count = self._length - start if count is None else max(0, min(count, self._length - start))
        if self._file is not None:
            self._file.seek(start * self._dtype.itemsize)
            return np.fromfile(self._file, dtype=self._dtype, count=count)
        if len(self._parts) != 1:
            self._parts = [np.concatenate(self._parts) if self._parts else np.empty(0, dtype=self._dtype)]
        return self._parts[0][start : start + count]

    def close(self) -> None:
        """Give the memory and the file back."""
        self._parts = []
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> "NumbersFile":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
