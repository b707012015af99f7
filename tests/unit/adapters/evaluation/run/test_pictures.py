"""The pictures of a run: which study, which files, and patches that look like CT again."""

import json
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from support.held_out_fakes import BrightnessModel, FakeSource, box, held_out
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from simcrop.adapters.evaluation.run.pictures import RunPictures, choose_study, draw_reconstruction, draw_similarity
from simcrop.adapters.tracking.tensorboard import TensorBoardFigures
from simcrop.core.data.held_out import HeldOutStudies
from simcrop.core.data.study import SentenceTruth

SPOT = SentenceTruth("There is a bright spot.", "Bright spot", present=True, mask="spot.nii.gz")
ELSEWHERE = SentenceTruth("The heart is normal.", None, present=True, mask="spot.nii.gz")
DARK = SentenceTruth("No shadow is seen.", "Shadow", present=False, mask="dark.nii.gz")


def studies() -> tuple[HeldOutStudies, BrightnessModel]:
    source = FakeSource()
    source.add(0, "Nothing.", [], bright=None)
    source.add(
        1,
        "No shadow is seen. There is a bright spot. The heart is normal.",
        [DARK, SPOT, ELSEWHERE],
        bright=box((8, 4, 3), (12, 8, 6)),
    )
    source.masks["v1", "spot.nii.gz"] = box((8, 4, 3), (12, 8, 6))
    source.masks["v1", "dark.nii.gz"] = box((0, 0, 0), (4, 4, 3))
    noise = torch.randint(0, 60, source.voxels["v1"].shape, generator=torch.Generator().manual_seed(0))
    noise[:6, :6, :5] = 0  # the darkest patch, under the margin
    source.voxels["v1"] += noise.to(torch.int16)
    return held_out(source)


def test_the_study_with_most_places_is_chosen() -> None:
    data, _ = studies()
    chosen = choose_study(data)
    assert chosen is not None
    assert chosen.study_id == "s1"


def test_a_perfect_decoder_gives_back_the_original() -> None:
    data, model = studies()
    figure = draw_reconstruction(model, data.volume(choose_study(data))[None], "s1", title="t")
    columns = [figure.axes[column].get_images()[0].get_array() for column in range(3)]
    seen, rebuilt, original = (np.ma.filled(column, np.nan) for column in columns)
    assert np.isnan(seen).any()
    np.testing.assert_allclose(rebuilt, original, atol=0.1)
    visible = ~np.isnan(seen)
    np.testing.assert_array_equal(seen[visible], original[visible])


def test_similarity_is_drawn_for_the_sentence_it_belongs_to() -> None:
    data, model = studies()
    study = choose_study(data)
    places = data.places(study, lambda truth: True)
    figure = draw_similarity(model, data, study, places, data.volume(study)[None], title="t")
    titles = [part.get_suptitle() for part in figure.subfigs]
    assert titles[0].startswith("“No shadow is seen.”\nShadow (denied): best patch (cross) inside the outline")
    assert titles[1].startswith("“There is a bright spot.”\nBright spot: best patch (cross) inside the outline")
    assert titles[2] == "“The heart is normal.”\nnormal structure: best patch (cross) outside the outline; chance 8.3%"


def test_draw_writes_every_picture_and_hands_the_figures_on(tmp_path: Path) -> None:
    data, model = studies()
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 3, "loss": 1.0}) + "\n")
    seen: list[tuple[str, int, Path]] = []

    def note(name: str, step: int, figure: Figure, path: Path) -> None:
        seen.append((name, step, path))

    RunPictures(tmp_path, data, on_figure=note).draw(3, model)
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == [f"step_00000003_{name}.png" for name in ("curves", "reconstruction", "similarity")]
    files = [tmp_path / "pictures" / name for name in names]
    assert sorted(seen) == list(zip(("curves", "reconstruction", "similarity"), (3, 3, 3), files, strict=True))
    for name in names:
        with Image.open(tmp_path / "pictures" / name) as picture:
            assert min(picture.size) > 200
            assert len(set(picture.convert("L").tobytes())) > 20


def test_a_model_that_can_do_neither_draws_neither(tmp_path: Path) -> None:
    data, model = studies()
    blind = BrightnessModel(model.tokenizer, matches_sentences=False, decodes=False)
    RunPictures(tmp_path, data).draw(1, blind)
    assert list((tmp_path / "pictures").iterdir()) == []


def test_no_held_out_study_is_no_error(tmp_path: Path) -> None:
    data, model = held_out(FakeSource())
    RunPictures(tmp_path, data).draw(1, model)
    assert list((tmp_path / "pictures").iterdir()) == []


def test_tensorboard_shows_the_figures(tmp_path: Path) -> None:
    data, model = studies()
    RunPictures(tmp_path, data, on_figure=TensorBoardFigures(tmp_path)).draw(3, model)
    events = EventAccumulator(str(tmp_path)).Reload()
    assert set(events.Tags()["images"]) == {"pictures/reconstruction", "pictures/similarity"}
    picture = events.Images("pictures/similarity")[0]
    assert picture.step == 3
    assert min(picture.width, picture.height) > 200
