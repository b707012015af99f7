"""The errors that a user can meet."""

import inspect

import pytest

from simcrop.core import errors
from simcrop.core.errors import SimcropError

KINDS = {
    "ConfigError": ValueError,
    "InputError": ValueError,
    "BackendError": RuntimeError,
    "DataError": ValueError,
    "CheckpointError": ValueError,
    "NonFiniteError": RuntimeError,
    "RanksError": RuntimeError,
}


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    defined = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and kind is not SimcropError}
    assert defined.keys() == KINDS.keys()
    for name, base in KINDS.items():
        assert f"{name} ({base.__name__})" in (errors.__doc__ or "")


@pytest.mark.parametrize(("name", "base"), KINDS.items())
def test_each_is_caught_as_ours_and_as_pythons(name: str, base: type[Exception]) -> None:
    kind: type[Exception] = getattr(errors, name)
    assert issubclass(kind, SimcropError)
    assert issubclass(kind, base)
    assert str(kind("volume_size: wrong")) == "volume_size: wrong"
