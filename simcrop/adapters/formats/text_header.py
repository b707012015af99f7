"""Volumes behind a header in text, in one file or in two: opened, unpacked by gzip or zlib, and read to their end."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from isal import isal_zlib

from simcrop.adapters.formats.container import opened_bytes
from simcrop.adapters.formats.stored import Header, StoredVolume, stored_behind
from simcrop.adapters.problems.paths import refuse_bomb, refuse_link_out
from simcrop.core.data.problems import BadFileError, OnProblem, bad_file
from simcrop.core.errors import one_line

_HEADER_BYTES = 1 << 20
"""Longer headers are not read; those of segmentations list every segment."""
_CHUNK = 1 << 20
_WINDOW_BITS = {"zlib": isal_zlib.MAX_WBITS, "gzip": isal_zlib.MAX_WBITS | 16}


Parse = Callable[[Path, bytes, OnProblem], Header]
"""Makes a header of a file's first bytes."""


@contextmanager
def opened_behind(parse: Parse, path: Path, on_problem: OnProblem, root: Path | None) -> Generator[StoredVolume]:
    """A volume on the point of being read; memory grows with what arrives, not with what the header claims.

    Args:
        parse: reads the header.
        path: of the header.
        on_problem: is told of what is wrong with the header and can be passed over.
        root: folder of the data set, which links must not leave; None where they may.

    Raises:
        BadFileError: header or voxels are damaged, missing, of a kind that is not read, or of another length.
    """
    refuse_link_out(root, path)
    with opened_bytes(path) as file:
        header = parse(path, file.read(_HEADER_BYTES), on_problem)
    refuse_link_out(root, header.data_file)
    with opened_bytes(header.data_file, as_is=True) as file:
        file.seek(header.offset)
        yield stored_behind(header, _unpacked(header, file))


def data_file(path: Path, key: str, name: str) -> Path:
    """The file that a header names for its voxels, in its own folder. Raises BadFileError for any other name."""
    if name in {"", ".", ".."} or "/" in name or "\\" in name:
        message = f"names the voxels' file {name!r}; it must be the name of a file in the same folder"
        raise bad_file(path, "safety.outside", message, name=name)
    if name.startswith("LIST") or "%" in name:
        raise bad_file(path, "header.invalid", f"its header has {key} = {name[:60]}; expected one file", key=key)
    return path.with_name(name)


def _unpacked(header: Header, file: Any) -> Any:
    """The voxels behind a header, a stream of bytes."""
    path = header.data_file
    if header.packing == "raw":
        return file
    packed, declared = path.stat().st_size - header.offset, header.packed_bytes
    if declared is not None and declared != packed:
        code = "container.truncated" if packed < declared else "container.trailing"
        message = f"holds {packed} packed bytes, and its header declares {declared}"
        raise bad_file(path, code, message, bytes=packed, declared=declared)
    refuse_bomb(path, packed, header.num_bytes)
    return _Unpacked(path, file, _WINDOW_BITS[header.packing])


class _Unpacked:
    """What zlib or gzip packed, unpacked a piece at a time and to its checksum."""

    def __init__(self, path: Path, file: Any, window_bits: int) -> None:
        self._path, self._file = path, file
        self._zlib = isal_zlib.decompressobj(window_bits)
        self._packed = b""

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, none at the end."""
        while not self._zlib.eof:
            packed = self._packed or self._file.read(_CHUNK)
            try:  # also without a byte more: it may hold back what `size` had no room for
                piece = self._zlib.decompress(packed, size)
            except isal_zlib.error as error:  # pyright: ignore[reportGeneralTypeIssues]
                code = "container.crc" if "checksum" in str(error) else "container.corrupt"
                raise self._bad(code, f"its packed voxels are damaged ({one_line(error)})") from error
            self._packed = self._zlib.unconsumed_tail
            if piece:
                return piece
            if not packed and not self._zlib.eof:
                raise self._bad("container.truncated", "is cut off (its packed voxels have no end)")
        if self._zlib.unused_data or self._file.read(1):
            raise self._bad("container.trailing", "goes on after the end of its packed voxels")
        return b""

    def _bad(self, code: str, message: str) -> BadFileError:
        return bad_file(self._path, code, message)
