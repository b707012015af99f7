"""The ablation: figures that are kept stay those of its rows."""

import json

import ablation
import pytest
from support import REPOSITORY

from simcrop.adapters.config.settings import load_config


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


def test_every_kept_figure_is_that_of_a_row_and_of_its_command() -> None:
    known = {cell.key(seed): (cell, seed) for cell in ablation.CELLS for seed in ablation.SEEDS}
    kept = json.loads(ablation.KEPT.path.read_text(encoding="utf-8"))["cells"]
    assert kept
    assert all(ablation.kept(*known[key]) == cell["figures"] for key, cell in kept.items())


def test_the_rows_differ_in_what_they_train() -> None:
    configs = [load_config(ablation.CONFIG, [o for o in cell.options(1) if "=" in o]) for cell in ablation.CELLS]
    assert len({repr(config) for config in configs}) == len(configs)
    by_name = {cell.name: config for cell, config in zip(ablation.CELLS, configs, strict=True)}
    assert [name for name, config in by_name.items() if config.objectives.organ_shares.weight] == [
        "all, and organ shares"
    ]
    assert tuple(by_name["all"].objectives.active) == ablation.OBJECTIVES


def test_segmentations_of_all_with_and_without_organ_shares_differ_in_the_run_alone() -> None:
    cells = [cell for cell in ablation.CELLS if cell.segments]
    assert [cell.name for cell in cells] == ["all", "all, and organ shares"]
    commands = [[word.replace(str(cell.folder(2)), "RUN") for word in cell.segment_command(2)] for cell in cells]
    assert commands[0] == commands[1]
    assert cells[0].folder(2) != cells[1].folder(2)


def test_a_figure_that_a_row_lacks_is_a_dash() -> None:
    figures = {"probe_auroc_untrained": 0.5, "probe_auroc_voxels": 0.6, "probe_num_labelled": 4, "probe_num_test": 9}
    rows = {cell.name: [figures, figures] for cell in ablation.CELLS}
    rows["all"] = [figures | {"dice": 0.25}, figures | {"dice": 0.75}]
    lines = {line.split(" | ")[0]: line for line in ablation.document(rows).splitlines()}
    assert lines["| all"].endswith("| 0.500 ± 0.354 |")
    assert lines["| all, and organ shares"].endswith("| - | - |")
