"""A volume kept as a folder of pictures, one a slice, 8 bits deep."""

import io
import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from simcrop.adapters.formats.container import opened_bytes
from simcrop.adapters.formats.stored import StoredVolume, check_shape, hu_dtype
from simcrop.adapters.problems.content import Scaling
from simcrop.adapters.problems.paths import refuse_link_out
from simcrop.core.data.problems import BadFileError, bad_file
from simcrop.core.errors import one_line

SUFFIXES = (".png", ".jpg", ".jpeg")
_NUMBER = re.compile(r"\d+")
_MAX_SIDE = 4096
_MAX_BYTES = 1 << 26
"""Of a picture file: an unpacked one of the largest size, four times over."""
_STARTS = (b"\x89PNG", b"\xff\xd8")
_ENDS = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9"}


def slice_files(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of their numbers: the last one in each name, so that 9 comes before 10."""
    found = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES]
    return sorted(found, key=lambda path: (_number(path) if _number(path) is not None else -1, path.name))


@contextmanager
def opened_slices(folder: Path, *, root: Path, affine: np.ndarray, scaling: Scaling) -> Generator[StoredVolume]:
    """The volume of a folder, a slice at a time.

    Args:
        folder: of the pictures.
        root: folder of the data set, which links must not leave.
        affine: maps (slice, row, column) to world coordinates in mm, RAS.
        scaling: turns grey values into HU.

    Raises:
        BadFileError: a number is missing, a picture is damaged, coloured, or of another size than the first.
    """
    files = slice_files(folder)
    _check_numbers(folder, files)
    first = _read_picture(root, files[0])
    shape = check_shape(folder, (len(files), *first.shape))
    slope, intercept = scaling
    dtype = hu_dtype(slope, intercept)

    def chunks() -> Iterator[np.ndarray]:
        for path in files:
            grey = _read_picture(root, path)
            if grey.shape != first.shape:
                message = f"is {grey.shape[1]} x {grey.shape[0]} pixels large, and {files[0].name} {first.shape[1]} x "
                raise bad_file(path, "container.mixed", f"{message}{first.shape[0]}")
            with np.errstate(over="ignore"):
                yield (grey.astype(np.float64) * slope + intercept).astype(dtype).ravel()

    yield StoredVolume(shape, dtype, affine, chunks(), "C")


def _number(path: Path) -> int | None:
    numbers = _NUMBER.findall(path.stem)
    return int(numbers[-1]) if numbers else None


def _check_numbers(folder: Path, files: Sequence[Path]) -> None:
    """Raise where slices are missing, twice there, or in no known order."""
    if not files:
        raise bad_file(folder, "container.incomplete", f"holds no slice ({', '.join(SUFFIXES)})")
    numbers = [_number(path) for path in files]
    if numbers[0] is None:
        message = f"holds {files[0].name}, whose name has no number to put it in order by"
        raise bad_file(folder, "container.incomplete", message)
    for path, number, following in zip(files, numbers, numbers[1:], strict=False):
        assert number is not None
        if following != number + 1:
            what = f"goes from slice {number} ({path.name}) to slice {following}"
            raise bad_file(folder, "container.incomplete", what, after=number, next=following)


def _read_picture(root: Path, path: Path) -> np.ndarray:
    """Grey values [row, column], uint8. The size is checked before anything is unpacked."""
    refuse_link_out(root, path)
    with opened_bytes(path) as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise bad_file(path, "header.dims_huge", f"is a picture of more than {_MAX_BYTES} bytes")
    try:
        with Image.open(io.BytesIO(data), formats=list(_ENDS)) as picture:
            kind = str(picture.format)
            if max(picture.size) > _MAX_SIDE:
                message = f"is {picture.width} x {picture.height} pixels large, above the limit of {_MAX_SIDE}"
                raise bad_file(path, "header.dims_huge", message, size=list(picture.size))
            if picture.mode not in {"L", "RGB"}:
                message = f"is of mode {picture.mode}; expected 8 bits of grey"
                raise bad_file(path, "header.datatype", message, mode=picture.mode)
            _check_end(path, data, _ENDS[kind])
            picture.verify()
        with Image.open(io.BytesIO(data), formats=[kind]) as picture:
            grey = np.array(picture)
    except BadFileError:
        raise
    except Image.UnidentifiedImageError as error:
        if data.startswith(_STARTS):
            _check_end(path, data, _ENDS["PNG" if data.startswith(_STARTS[0]) else "JPEG"])
        raise bad_file(path, "container.format", "is neither PNG nor JPEG, or its header is damaged") from error
    except Exception as error:  # Pillow raises errors of many classes
        raise _damaged(path, error) from error
    if grey.ndim == 3:
        if not (grey == grey[:, :, :1]).all():
            raise bad_file(path, "content.not_3d", "is a picture in colour")
        grey = grey[:, :, 0]
    return grey


def _check_end(path: Path, data: bytes, end: bytes) -> None:
    if end not in data:
        raise bad_file(path, "container.truncated", "is cut off (the picture has no end)")
    if end == _ENDS["PNG"] and not data.endswith(end):
        raise bad_file(path, "container.trailing", "goes on after the end of the picture")


def _damaged(path: Path, error: Exception) -> BadFileError:
    """What Pillow says, by its code."""
    message = one_line(error)
    by_words = {"truncated": "container.truncated", "checksum": "container.crc"}
    code = next((code for word, code in by_words.items() if word in message.lower()), "container.corrupt")
    return bad_file(path, code, f"is a damaged picture ({message})")
