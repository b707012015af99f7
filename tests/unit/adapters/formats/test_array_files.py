"""Arrays in a file: every bit and what they are comes back, and damage is an error of two kinds alone."""

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from simcrop.adapters.formats.array_files import ArrayFormat, read_arrays, require_h5py, write_arrays
from simcrop.core.errors import ConfigError

FORMS = ("npz", "h5")


def write(path: Path, values: np.ndarray, form: ArrayFormat, about: str = "what they are, ä") -> Path:
    with path.open("wb") as file:
        write_arrays(file, {"features": values, "others": np.arange(3)}, about, form)
    return path


@pytest.mark.parametrize("form", FORMS)
@given(values=arrays.arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 5))))
@settings(max_examples=20, deadline=None)
def test_what_is_written_is_read_to_the_last_bit(
    form: ArrayFormat, values: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write(tmp_path_factory.mktemp("arrays") / f"a.{form}", values, form)
    found, about = read_arrays(path, ["features", "others"])
    assert found["features"].tobytes() == values.tobytes()
    assert (found["features"].shape, found["features"].dtype) == (values.shape, np.float32)
    assert found["others"].tolist() == [0, 1, 2]
    assert about == "what they are, ä"


@pytest.mark.parametrize("form", FORMS)
def test_a_file_cut_off_anywhere_or_with_a_changed_number_is_refused(form: ArrayFormat, tmp_path: Path) -> None:
    values = np.arange(1000, dtype=np.float32)
    path = write(tmp_path / f"a.{form}", values, form)
    whole = path.read_bytes()
    for length in (0, 1, 50, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises((OSError, ValueError)):
            read_arrays(path, ["features"])
    at = whole.index(values.tobytes()) + 2000
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises((OSError, ValueError)):
        read_arrays(path, ["features"])


@pytest.mark.parametrize("form", FORMS)
def test_an_array_that_is_not_there_is_an_error_and_others_are_not_read(form: ArrayFormat, tmp_path: Path) -> None:
    path = write(tmp_path / f"a.{form}", np.ones(3, np.float32), form)
    with pytest.raises(ValueError, match="tokens"):
        read_arrays(path, ["tokens"])
    assert read_arrays(path, ["others"])[0].keys() == {"others"}


def test_files_of_others_say_nothing_of_themselves(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", features=np.ones(3))
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["features"] = np.ones(3)
        file.create_group("folder")
    for name in ("a.npz", "a.hdf5"):
        found, about = read_arrays(tmp_path / name, ["features"])
        assert (found["features"].tolist(), about) == ([1, 1, 1], None)
    with pytest.raises(ValueError, match="Group"):
        read_arrays(tmp_path / "a.hdf5", ["folder"])
    with (tmp_path / "b.npz").open("wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises((OSError, ValueError)):
        read_arrays(tmp_path / "b.npz", ["features"])


def test_h5py_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ConfigError, match=r"needs h5py; .*simcrop\[h5\].* or take npz"):
        require_h5py()
