"""Named arrays in one file, with a line that says what they are: .npz, or HDF5 by h5py.

The line lies under `simcrop`: in an .npz file an array of one text, in an HDF5 file an attribute. Both formats have
check sums of what they hold.
"""

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from simcrop.core.errors import ConfigError

ArrayFormat = Literal["npz", "h5"]
_ABOUT = "simcrop"


def require_h5py() -> Any:
    """h5py. Raises ConfigError where it is not installed."""
    try:
        return import_module("h5py")
    except ImportError as error:
        raise ConfigError(
            "HDF5 needs h5py; install simcrop with the extra h5 (pip install 'simcrop[h5]'), or take npz"
        ) from error


def write_arrays(file: BinaryIO, arrays: Mapping[str, NDArray[Any]], about: str, form: ArrayFormat) -> None:
    """Write arrays of numbers, none of them empty or a single number.

    Args:
        file: opened for writing.
        arrays: by name.
        about: what they are.
        form: of the file.
    """
    if form == "npz":
        content: dict[str, Any] = {**arrays, _ABOUT: np.array(about)}
        np.savez(file, **content)
        return
    whole = BytesIO()  # HDF5 goes back and forth in a file, and reads what it has written
    with require_h5py().File(whole, "w") as root:
        root.attrs[_ABOUT] = about
        for name, values in arrays.items():
            root.create_dataset(name, data=values, chunks=values.shape, fletcher32=True)
    file.write(whole.getbuffer())


def read_arrays(path: Path, names: Sequence[str]) -> tuple[dict[str, NDArray[Any]], str | None]:
    """Arrays of a file, whoever wrote it, and what it says of them.

    Args:
        path: .npz, or HDF5 by any other suffix.
        names: of the arrays that are wanted; others are not read.

    Raises:
        ConfigError: h5py is wanted and absent.
        OSError, ValueError: it cannot be read, or lacks one of them.
    """
    try:
        if path.suffix.lower() == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                about = str(archive[_ABOUT]) if _ABOUT in archive else None
                return {name: archive[name] for name in names}, about
        with require_h5py().File(path, "r") as root:
            about = root.attrs.get(_ABOUT)
            return {name: _content(root[name]) for name in names}, None if about is None else str(about)
    except (TypeError, AttributeError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(" ".join(str(error.args[0] if error.args else error).split())) from error


def _content(dataset: Any) -> NDArray[Any]:
    """The whole of a dataset of HDF5, where texts are bytes."""
    return np.asarray((dataset.asstr() if dataset.dtype.kind in "OS" else dataset)[()])
