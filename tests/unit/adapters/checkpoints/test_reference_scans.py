"""Reference scans on disk belong to the weights that they name, and to no others."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from simcrop.adapters.checkpoints.folder import Checkpoint
from simcrop.adapters.checkpoints.reference_scans import REFERENCES, find_references, references_file, save_references
from simcrop.core.evaluation.references import ReferenceScans

KEPT = ReferenceScans(functional.normalize(torch.randn(5, 4), dim=1), torch.tensor([0, 0, 1, 2, 2]), held_out=False)


def weights(folder: Path, sha256: str = "abc") -> Checkpoint:
    return Checkpoint(folder, 3, {"files": {"model.safetensors": sha256}}, 1)


@pytest.mark.parametrize("where", ["run/checkpoints/step_00000003", "run"])
def test_they_are_found_beside_a_run_and_in_an_export(where: str, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    save_references(tmp_path / "run", KEPT, "abc")
    found = find_references(weights(tmp_path / where))
    assert found is not None
    torch.testing.assert_close(found.patches, KEPT.patches, atol=5e-4, rtol=0)
    assert torch.equal(found.scan_of_patch, KEPT.scan_of_patch)
    assert found.held_out is False
    assert references_file(weights(tmp_path / where)) == tmp_path / "run" / REFERENCES


def test_other_weights_have_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert find_references(weights(tmp_path)) is None
    save_references(tmp_path, KEPT, "abc")
    assert find_references(weights(tmp_path, "another step's")) is None
    assert find_references(weights(tmp_path / "below")) is None
    assert not caplog.records


def test_a_damaged_file_is_told_and_counts_as_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_references(tmp_path, KEPT, "abc")
    path, about = tmp_path / REFERENCES, {"weights_sha256": "abc", "held_out": "true"}
    whole, tensors = path.read_bytes(), load_file(path)
    wrong = {**tensors, "scan_of_patch": tensors["scan_of_patch"] + 1}
    cases = [
        lambda: path.write_bytes(b""),
        lambda: path.write_bytes(whole[:-3]),
        lambda: save_file(wrong, path, metadata=about),
        lambda: save_file({"patches": tensors["patches"]}, path, metadata=about),
        lambda: save_file(tensors, path, metadata={"weights_sha256": "abc"}),
    ]
    for number, damage in enumerate(cases, 1):
        damage()
        assert find_references(weights(tmp_path)) is None
        assert len(caplog.records) == number
        assert f"{path}: cannot be read (" in caplog.messages[-1]
