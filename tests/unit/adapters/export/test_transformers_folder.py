"""The folder for transformers, loaded here; tests/e2e/test_export_carried.py loads one where simcrop is not."""

import json
from pathlib import Path

import pytest
import torch
from support.bert import write_bert
from support.tiny_data import SENTENCES, write_config
from transformers import AutoTokenizer

from simcrop.adapters.checkpoints.models import make_model
from simcrop.adapters.config.settings import load_config
from simcrop.adapters.export.standalone.image_processing_simcrop import SimcropImageProcessor
from simcrop.adapters.export.standalone.modeling_simcrop import SimcropModel
from simcrop.adapters.export.transformers_folder import write_transformers
from simcrop.core.evaluation.sentences import read_alone, sentence_scores
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.reference import REFERENCE
from simcrop.core.reports.reader import ReportReader

TEXTS = [*SENTENCES, "", "Nodule " * 60 + "is seen.", "Ill-defined, 5.5 mm (!) opacity"]
GRID = (18, 18, 18)
CONTEXTUAL = ("model.local_patch_size=null", "objectives.late_interaction.pooling=best")


def make(folder: Path, *overrides: str) -> SimCroP:
    """A model with random weights, in eval mode."""
    config = load_config(write_config(folder), overrides)
    model, _ = make_model(config, REFERENCE, reports=lambda: SENTENCES)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        CONTEXTUAL,
        ("model.local_patch_size=null", "text_encoder.context=report", "model.ignore_air=false"),
        ("text_encoder.context=report", "text_encoder.separator=false"),
        ("model.windows=[[-1000, 1000], [-150, 250]]", "model.window=[-900, 900]", "text_encoder.depth=0"),
        ("objectives.late_interaction.weight=0",),
        ("text_encoder.source={bert}",),
    ],
    ids=["default", "contextual", "report", "no separator", "windows", "alignment", "loaded"],
)
@torch.no_grad()
def test_scores_and_tokens_are_those_of_simcrop(overrides: tuple[str, ...], tmp_path: Path) -> None:
    write_bert(tmp_path / "bert", 0)
    ours, out = make(tmp_path, *(text.format(bert=tmp_path / "bert") for text in overrides)), tmp_path / "out"
    out.mkdir()
    write_transformers(out, ours.encoder, GRID, ours)
    theirs = SimcropModel.from_pretrained(out)
    volume = torch.randint(-1200, 1500, (2, 1, 16, 16, 16), dtype=torch.int16)
    volume[:, :, :8, :8] = -1000
    assert ours.tokenizer is not None
    sentences = read_alone(ours, ReportReader.of(ours.tokenizer, ours.text_recipe), TEXTS)
    words = AutoTokenizer.from_pretrained(out)(TEXTS, padding=True, truncation=True, return_tensors="pt")
    found = theirs(volume.float(), **words)
    torch.testing.assert_close(found.last_hidden_state, ours.encoder.encode(volume), rtol=0, atol=1e-6)
    torch.testing.assert_close(theirs.get_text_features(**words), sentences, rtol=0, atol=1e-5)
    patches = ours.patch_features(volume)
    torch.testing.assert_close(theirs.get_image_features(volume.float()), patches, rtol=0, atol=1e-5)
    scores = sentence_scores(ours, sentences, patches)
    torch.testing.assert_close(found.logits_per_image, scores, rtol=0, atol=1e-5)
    assert scores.std() > 1e-3
    assert str(tmp_path).encode() not in b"".join(path.read_bytes() for path in out.iterdir())


def test_files_say_what_transformers_asks(tmp_path: Path) -> None:
    model, out = make(tmp_path), tmp_path / "out"
    out.mkdir()
    write_transformers(out, model.encoder, GRID, model)
    config = json.loads((out / "config.json").read_text())
    assert config["auto_map"] == {
        "AutoConfig": "configuration_simcrop.SimcropConfig",
        "AutoModel": "modeling_simcrop.SimcropModel",
    }
    processor = SimcropImageProcessor.from_pretrained(out)
    assert (processor.grid_size, processor.volume_size, processor.spacing_mm) == ([18] * 3, [16] * 3, [2.0] * 3)
    assert AutoTokenizer.from_pretrained(out).model_max_length == model.text_recipe.max_tokens
    assert (out / "model.safetensors").stat().st_mode & 0o044, "others may read it where the user's mask lets them"


@torch.no_grad()
def test_an_encoder_alone_has_no_text_side(tmp_path: Path) -> None:
    ours, out = make(tmp_path).encoder, tmp_path / "out"
    out.mkdir()
    write_transformers(out, ours, GRID, None)
    assert not list(out.glob("tokenizer*"))
    theirs = SimcropModel.from_pretrained(out)
    assert theirs.config.text_config is None
    volume = torch.randint(-1200, 1500, (1, 1, 16, 16, 16), dtype=torch.int16)
    torch.testing.assert_close(theirs(volume).last_hidden_state, ours.encode(volume), rtol=0, atol=1e-6)
