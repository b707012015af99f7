"""Paths of a data set stay in its folder, and files do not unpack to more than any scan holds."""

import os
import re
from pathlib import Path
from stat import S_ISREG

from simcrop.core.data.problems import bad_file

BOMB_RATIO, BOMB_BYTES = 400, 1 << 28
"""A file that unpacks to more than this many times its size, and to more than this many bytes, is no scan.

A mask of 512 x 512 x 600 voxels stays below: deflate packs its zeros a thousand to one.
"""
DETACHED = (".mhd", ".nhdr", ".hdr")
"""Ends of headers whose voxels may lie in a file of their own."""
_PAIR = (".hdr", ".img", ".img.gz")
_DATA_FILE = re.compile(rb"^(?:ElementDataFile\s*=|data ?file:)[ \t]*(\S+)\s*$", re.MULTILINE)


def inside(root: Path, name: str | Path) -> Path:
    """The path of a file of the folder `root`, which is absolute; links are not looked at.

    Raises:
        BadFileError: if the name is absolute or climbs out of the folder.
    """
    return Path(text_inside(str(root), name))


def text_inside(root: str, name: str | Path) -> str:
    """The same as text, `root` as `str` has it: a million paths taken apart and put together take 15 seconds."""
    path = os.path.normpath(os.path.join(root, name))  # noqa: PTH118
    if path != root and not path.startswith(root.rstrip(os.sep) + os.sep):
        raise bad_file(str(name), "safety.outside", f"lies outside {root}", root=root)
    return path


def is_plain_file(path: str) -> bool:
    """Whether there is such a file, and no link; one question to the disk answers both."""
    try:
        return S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def is_file(path: Path) -> bool:
    """Whether there is such a file; a name too long for any, or a folder that may not be looked into, holds none."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Whether there is such a folder, told as by `is_file`."""
    try:
        return path.is_dir()
    except OSError:
        return False


def data_files(path: Path) -> tuple[Path, ...]:
    """The file with the voxels, where `path` is a header that keeps them apart. Raises OSError as `open` does."""
    if not path.name.lower().endswith(DETACHED):
        return ()
    if path.suffix.lower() == _PAIR[0]:
        return pair_file(path)
    if path.suffix.lower() not in DETACHED:  # a file that is called .mhd alone
        return ()
    with path.open("rb") as file:
        named = _DATA_FILE.search(file.read(1 << 16))
    name = named[1].decode("latin-1") if named else ""
    return (path.with_name(name),) if name == Path(name).name and name not in {"", "LOCAL"} else ()


def pair_file(path: Path) -> tuple[Path, ...]:
    """The .img beside a .hdr, in whatever case they are written; none where there is none."""
    stem = path.name[: -len(path.suffix)]
    return tuple(found for end in (*_PAIR[1:], _PAIR[1].upper()) if is_file(found := path.with_name(stem + end)))[:1]


def refuse_link_out(root: Path | None, path: Path) -> None:
    """Raise BadFileError where a file, or a folder on the way to it, is a link that leaves `root` or ends nowhere.

    Without a root, links may lead anywhere.
    """
    if root is None:
        return
    try:
        target = path.resolve()
    except (OSError, RuntimeError) as error:  # pathlib calls links in a circle a RuntimeError
        raise bad_file(path, "container.unreadable", "is a link that leads back to itself") from error
    if not target.is_relative_to(root.resolve()):
        raise bad_file(path, "safety.outside", f"is a link to {target}, outside {root}", target=str(target))


def refuse_bomb(path: Path, num_bytes: int, declared: int) -> None:
    """Raise BadFileError where packed bytes claim to unpack to more than any scan does.

    Args:
        path: for the message.
        num_bytes: packed.
        declared: unpacked, in bytes.
    """
    ratio = declared / max(1, num_bytes)
    if declared > BOMB_BYTES and ratio > BOMB_RATIO:
        message = f"has {num_bytes} bytes and claims to hold {declared}, {ratio:.0f} times as many"
        raise bad_file(path, "container.bomb", message, bytes=num_bytes, declared=declared)
