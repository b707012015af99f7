"""The size of a run, measured on random studies, without data or files."""

from pathlib import Path

import pytest
from support.tiny_data import write_config
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from simcrop import compose
from simcrop.adapters.config.settings import load_config
from simcrop.core.model.encoder import VisionEncoder
from simcrop_cli.measure import measure


@pytest.mark.usefixtures("one_thread")
def test_parameters_bytes_and_studies_are_those_of_the_run(tmp_path: Path) -> None:
    config = load_config(write_config(tmp_path), ["train.batch_size=3"])
    before = sorted(tmp_path.rglob("*"))
    size = measure(config)
    assert sorted(tmp_path.rglob("*")) == before
    reports = [study.report.findings for study in compose.build_source(config.data).studies()[:6]]
    model, _ = compose.build_model(config, reports=lambda: reports)
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    assert size.parameters == {name: (count, count) for name, count in counts.items()}
    assert size.weight_bytes == 4 * 4 * sum(counts.values())
    assert size.checkpoint_bytes == 3 * 4 * sum(counts.values())
    assert (size.training_studies, size.measured_studies) == (6, 3)
    assert size.activation_bytes > 3 * 4 * 65 * 24


def test_phantoms_are_counted_without_being_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text("data: {cases: 40, validation_fraction: 0.25}\ntrain: {batch_size: 1}\n")
    assert measure(load_config(tmp_path / "run.yaml")).training_studies == 30
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("contrast", "passes"), [("micro_batch", 1), ("step", 2)])
def test_micro_batches_that_are_compared_together_are_read_twice(tmp_path: Path, contrast: str, passes: int) -> None:
    calls: list[object] = []

    def note(part: nn.Module, *_: object) -> None:
        calls.extend([None] * isinstance(part, VisionEncoder))

    config = load_config(write_config(tmp_path), ["train.accumulate=2", f"train.contrast={contrast}"])
    with register_module_forward_hook(note):
        measure(config)
    assert len(calls) == 2 * passes  # the first time warms up
