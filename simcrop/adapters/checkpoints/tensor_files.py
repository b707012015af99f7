"""Files of tensors: what their headers say is compared before anything is built or loaded.

A header may claim shapes of any size, and a recipe beside it too. Both are believed where they agree, since the library
safetensors has compared the header with the length of the file.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from simcrop.adapters.system.outside_files import require_regular
from simcrop.core.errors import CheckpointError, one_line

REMEDY = "take another checkpoint"
_MOST_HEADER = 16 << 20
"""Bytes of a header, fifty times those of a model of a thousand blocks; the library's own limit is 100 MB."""
_LENGTH = 8
"""Bytes of the number with which a file begins: that of its header."""
_MOST_NAME = 300
_NUMBERS = ("F16", "BF16", "F32", "F64")
"""Types of numbers that weights may have, as the library calls them."""


@dataclass(frozen=True)
class StoredTensor:
    """What a header says of a tensor.

    Attributes:
        shape: of it.
        dtype: as the library safetensors calls it, such as F32.
    """

    shape: tuple[int, ...]
    dtype: str

    @property
    def is_floating_point(self) -> bool:
        """Whether it may be a weight: no whole, complex or truth values, and none that torch cannot compute with."""
        return self.dtype in _NUMBERS


def stored_tensors(path: Path, remedy: str = REMEDY) -> dict[str, StoredTensor]:
    """Name, shape and type of every tensor in a .safetensors file; none is loaded.

    Raises:
        CheckpointError: it is no such file, or its header is larger than any model's, or has a name that nobody can
            read.
    """
    with _reading(path, remedy):
        _check_header(path)
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            stored = {name: StoredTensor(tuple(each.get_shape()), each.get_dtype()) for name, each in slices.items()}
    check_names(path, [*stored], remedy)
    return stored


def load_tensors(path: Path, remedy: str = REMEDY) -> dict[str, Tensor]:
    """Every tensor of a .safetensors file, on the CPU. Raises CheckpointError as `stored_tensors` does."""
    stored_tensors(path, remedy)
    with _reading(path, remedy):
        return load_file(path)


def check_names(path: Path, names: Sequence[str], remedy: str = REMEDY) -> None:
    """Raise CheckpointError where a name in a file of tensors has line breaks, or no end: names go into messages."""
    for name in names:
        if not name.isprintable() or len(name) > _MOST_NAME:
            short = ascii(name[:_MOST_NAME])
            raise CheckpointError(f"{path}: damaged (a tensor is called {short[:60]}); {remedy}")


def require_fit(
    path: Path,
    stored: Mapping[str, StoredTensor],
    model: nn.Module,
    *,
    left_out: tuple[str, ...] = (),
    remedy: str = REMEDY,
) -> None:
    """Compare the names and shapes in a file with those of a model, which may be on the meta device.

    Args:
        path: of the file.
        stored: its tensors.
        model: that the configuration beside it describes.
        left_out: prefixes of names that the file need not have.
        remedy: what to do otherwise.

    Raises:
        CheckpointError: a tensor of the model is absent, of another shape or no number; or the file has one more.
    """
    own = model.state_dict()
    for name, value in own.items():
        found = stored.get(name)
        if found is None:
            if not name.startswith(left_out):
                _refuse(path, f"{name} is absent", remedy)
        elif found.shape != tuple(value.shape):
            _refuse(path, f"{name} is {found.shape}, not {tuple(value.shape)}", remedy)
        elif found.is_floating_point != value.is_floating_point():
            _refuse(path, f"{name} is of type {found.dtype}", remedy)
    unknown = next((name for name in stored if name not in own), None)
    if unknown is not None:
        _refuse(path, f"{unknown} is unknown", remedy)


def _refuse(path: Path, what: str, remedy: str) -> None:
    raise CheckpointError(f"{path}: does not belong to the model in the configuration beside it ({what}); {remedy}")


def _check_header(path: Path) -> None:
    size = require_regular(path)
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH), "little")
    if length > min(max(size - _LENGTH, 0), _MOST_HEADER):
        raise ValueError(f"its header is to have {length:,} bytes, and the file has {size:,}")


@contextmanager
def _reading(path: Path, remedy: str) -> Generator[None]:
    try:
        yield
    except Exception as error:  # what is no such file fails inside the library, or torch, in any way
        reason = getattr(error, "strerror", None) or one_line(error)
        raise CheckpointError(f"{path}: cannot be read ({reason}); {remedy}") from error
