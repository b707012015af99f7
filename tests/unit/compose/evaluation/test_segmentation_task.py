"""The studies that are segmented."""

import logging
from pathlib import Path

import pytest
from support.organ_data import LPS, OBLIQUE, RAS, write_truth

from simcrop.adapters.config.settings import load_config
from simcrop.adapters.sources.checking import check_source
from simcrop.adapters.sources.registry import build_source
from simcrop.compose.evaluation.segmentation_task import begin_segmentation


def test_refused_volumes_are_left_out_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    manifest = write_truth(tmp_path / "data", [RAS, LPS, OBLIQUE, RAS, LPS, RAS])
    path = tmp_path / "run.yaml"
    path.write_text(
        f"data: {{source: manifest, manifest: {manifest}, prepared: {tmp_path}/prepared, max_bad_share: 0.2}}\n"
        "model: {preset: tiny}\n"
        "segment: {classes: [bone, organ]}\n"
    )
    config = load_config(path)
    with caplog.at_level(logging.WARNING, "simcrop"):
        assert len(begin_segmentation(config, config.model).data.train) == 4
    assert caplog.text == ""
    (manifest.parent / "1.nii.gz").write_bytes(b"")
    check_source(build_source(config.data), (), config.data.prepared, max_tokens=512, workers=1)
    with caplog.at_level(logging.WARNING, "simcrop"):
        task = begin_segmentation(config, config.model)
    assert [study.study_id for study in task.data.train] == ["0", "2", "3"]
    assert "1 of 6 volumes cannot be used and are left out, among them" in caplog.text
    assert "1.nii.gz: is empty (0 bytes)" in caplog.text
