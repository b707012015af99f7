"""`simcrop data phantom` writes the phantoms of a run."""

from pathlib import Path

import pytest

from simcrop_cli.__main__ import main


def test_phantoms_are_the_same_bytes_as_those_of_a_run_with_the_same_seed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder, seed in zip(folders, ("3", "3", "4"), strict=True):
        assert main(["data", "phantom", str(folder), "--cases", "2", "--seed", seed]) == 0
    assert "2 studies" in capsys.readouterr().out
    first, second, other = (
        {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        for folder in folders
    )
    assert first == second != other
    assert any(name.suffixes[-2:] == [".nii", ".gz"] for name in first)
