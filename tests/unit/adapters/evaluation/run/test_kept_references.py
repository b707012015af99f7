"""Kept reference scans: whose they are, and that scores in them are those that `locate` finds."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support.held_out_fakes import FakeSource, box, held_out
from support.tiny_data import SENTENCES
from support.trained_run import Setting

from simcrop import compose
from simcrop.adapters.checkpoints.folder import find_checkpoint
from simcrop.adapters.checkpoints.reference_scans import REFERENCES, find_references
from simcrop.adapters.evaluation.run.kept_references import keep_references
from simcrop.adapters.formats.scan import read_scan
from simcrop.compose.looking import look_for


def test_scores_in_reference_scans_are_those_of_their_maps(done: Setting) -> None:
    model = compose.load_model(done.out)
    assert model.references is not None
    assert (model.references.num_scans, model.references.held_out) == (2, True)
    assert model.tokenizer is not None
    scans = [read_scan(done.yaml.parent / "studies" / f"{number}.nii.gz") for number in (6, 7)]
    found = [look_for(SENTENCES, scan, model, model.tokenizer, references=model.references) for scan in scans]
    expected = np.array([[each.map.patches.max() for each in one] for one in found])
    scores = model.references.scores(model.encode_text(SENTENCES)).numpy().T
    order = scores[:, 0].argsort(), expected[:, 0].argsort()
    np.testing.assert_allclose(scores[order[0]], expected[order[1]], atol=1e-3)
    assert np.ptp(expected, axis=0).min() > 1e-3


def reader_of(*bright: bool, first: int = 0) -> FakeSource:
    source = FakeSource()
    for number, each in enumerate(bright, first):
        source.add(number, "A bright spot.", [], bright=box((0, 0, 0), (4, 4, 3)) if each else None)
    return source


def kept_by(done: Setting, out: Path, held: FakeSource, train: FakeSource, count: int = 32) -> Path:
    """A run folder with the checkpoint of a real run, and what is kept of a model that looks for brightness."""
    (out / "checkpoints").mkdir(parents=True)
    step = find_checkpoint(done.out).path
    (out / "checkpoints" / step.name).symlink_to(step)
    (out / "checkpoints" / "latest").write_text(step.name)
    training, model = held_out(train)
    model.train()
    keep_references(out, model, held_out(held)[0], training, count, 2)
    assert model.training
    return out


@pytest.mark.parametrize(
    ("num_held", "count", "expected"), [(3, 32, (3, True)), (3, 2, (2, True)), (0, 32, (1, False))]
)
def test_held_out_scans_are_kept_and_else_those_trained_on(
    done: Setting, tmp_path: Path, num_held: int, count: int, expected: tuple[int, bool]
) -> None:
    out = kept_by(done, tmp_path / "run", reader_of(*[True] * num_held, first=5), reader_of(True), count)
    found = find_references(find_checkpoint(out))
    assert found is not None
    assert (found.num_scans, found.held_out) == expected


def test_nothing_is_kept_where_it_is_not_wanted_or_no_report_has_a_sentence(done: Setting, tmp_path: Path) -> None:
    kept_by(done, tmp_path / "a", reader_of(True), reader_of(True), count=0)
    without = FakeSource()
    without.add(0, "", [], bright=None)
    kept_by(done, tmp_path / "b", reader_of(True), without)
    assert not [*tmp_path.rglob(REFERENCES)]
    training, model = held_out(reader_of(True))
    model.matches_sentences = False
    keep_references(tmp_path, model, training, training, 32, 2)
    assert not [*tmp_path.rglob(REFERENCES)]


def test_the_file_is_small(done: Setting) -> None:
    content = find_references(find_checkpoint(done.out))
    assert content is not None
    size = (done.out / REFERENCES).stat().st_size
    assert size < 2 * content.patches.numel() + 4 * len(content.patches) + 500
    assert content.patches.dtype == torch.float32
