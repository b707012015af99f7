"""A data set in memory, and a network whose features can be foretold: bright patches answer to the word "bright"."""

from collections.abc import Sequence
from pathlib import PurePath

import torch
from torch import Tensor, nn

from simcrop.core.data.batch import Encoding, Tokens
from simcrop.core.data.held_out import HeldOutStudies
from simcrop.core.data.study import Report, SentenceTruth, Study, Volume
from simcrop.core.model.patches import apply_window, patchify
from simcrop.core.recipe import LateInteractionRecipe, ModelRecipe, ObjectivesRecipe
from simcrop.core.reference import REFERENCE
from simcrop.core.reports.reader import ReportReader

RECIPE = ModelRecipe(
    volume_size=(12, 8, 6),
    patch_size=(4, 4, 3),
    local_patch_size=None,
    embed_dim=6,
    num_heads=1,
    projection_dim=4,
    fusion_heads=1,
)
OBJECTIVES = ObjectivesRecipe(late_interaction=LateInteractionRecipe(pooling="best"))
MARGIN = 2
"""Voxels of the prepared volume outside the model's, on every side."""


class FakeSource:
    """Studies with given findings; truth and masks by reconstruction."""

    label_names = ("Bright spot", "Never there")

    def __init__(self) -> None:
        self.list: list[Study] = []
        self.truth: dict[str, list[SentenceTruth]] = {}
        self.voxels: dict[str, Tensor] = {}
        self.masks: dict[tuple[str, str], Tensor] = {}

    def add(self, number: int, findings: str, truth: list[SentenceTruth], *, bright: Tensor | None) -> Study:
        """Add a study; `bright` marks voxels of the model's volume at 1000 HU, the rest is air."""
        name = f"v{number}"
        labels = {"Bright spot": int(bright is not None)}
        study = Study(f"s{number}", f"p{number}", Report(findings, ""), (name,), labels=labels)
        self.list.append(study)
        self.truth[name] = truth
        volume = torch.full(RECIPE.volume_size, -1000, dtype=torch.int16)
        if bright is not None:
            volume[bright] = 1000
        self.voxels[name] = with_margin(volume, -1000)
        return study

    def studies(self) -> list[Study]:
        return self.list

    def volume_file(self, reconstruction: str) -> PurePath:
        return PurePath(reconstruction)

    def read_volume(self, reconstruction: str) -> Volume:
        return Volume(self.voxels[reconstruction], torch.eye(4))

    def ground_truth(self, reconstruction: str) -> list[SentenceTruth]:
        return self.truth[reconstruction]

    def read_mask(self, reconstruction: str, name: str) -> Volume:
        return Volume(with_margin(self.masks[reconstruction, name].to(torch.int16), 0), torch.eye(4))


class FakePrepared:
    """Prepared volumes that need no file."""

    def __init__(self, source: FakeSource) -> None:
        self.source = source

    def read_centre(self, reconstruction: str, size: tuple[int, int, int]) -> Tensor:
        assert size == RECIPE.volume_size
        return self.source.voxels[reconstruction][(slice(MARGIN, -MARGIN),) * 3]

    def read_mask(self, reconstruction: str, name: str) -> Tensor:
        return self.source.read_mask(reconstruction, name).voxels > 0


class WordTokenizer:
    """A token a word, numbered as they come."""

    pad_id, mask_id, cls_id, sep_id = 0, 1, 2, 3

    def __init__(self) -> None:
        self.words: list[str] = ["[PAD]", "[MASK]", "[CLS]", "[SEP]"]
        self.vocab_size = 1000

    def encode(self, sentences: Sequence[str], *, max_tokens: int, separator: bool = True) -> Encoding:
        assert separator
        ids, owners = [self.cls_id], [-1]
        for index, sentence in enumerate(sentences):
            words = sentence.lower().strip(".").split()
            if len(ids) + len(words) + 1 > max_tokens:
                return Encoding((*ids, self.sep_id), (*owners, -1), len(sentences) - index)
            for word in words:
                if word not in self.words:
                    self.words.append(word)
                ids.append(self.words.index(word))
                owners.append(index)
        return Encoding((*ids, self.sep_id), (*owners, -1), 0)


class BrightnessEncoder(nn.Module):
    """The token of a patch is (mean of its windowed voxels, 0.5); the class token is far off."""

    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.full((1, 1, 2), 100.0))
        self.norm = nn.Identity()

    def encode(self, volume: Tensor, ids_keep: Tensor | None = None, *, normalized: bool = True) -> Tensor:
        means = patchify(apply_window(volume, RECIPE.window), RECIPE.patch_size).mean(-1, keepdim=True)
        tokens = torch.cat([means, torch.full_like(means, 0.5)], dim=-1)
        return torch.cat([self.cls_token.expand(len(volume), -1, -1), tokens], dim=1)


class ConstantEncoder(nn.Module):
    """Knows nothing of the volume."""

    def encode(self, volume: Tensor, *, normalized: bool) -> Tensor:
        return torch.ones(len(volume), RECIPE.num_patches + 1, 2)


class BrightnessModel(nn.Module):
    """Sentences with the word "bright" look for bright patches, all others for dark ones; rebuilds patches exactly."""

    def __init__(self, tokenizer: WordTokenizer, *, matches_sentences: bool = True, decodes: bool = True) -> None:
        super().__init__()
        self.recipe, self.objectives, self.tokenizer, self.ops = RECIPE, OBJECTIVES, tokenizer, REFERENCE
        self.matches_sentences = matches_sentences
        self.encoder = BrightnessEncoder()
        self.image_head = nn.Identity() if matches_sentences else None
        self.decoder = nn.Identity() if decodes else None
        self.seen_modes: list[bool] = []

    def sentence_features(self, findings: Tokens, num_sentences: int) -> Tensor:
        ids, mask, sentence_of_token = findings.ids, findings.mask, findings.sentence_of_token
        self.seen_modes.append(self.training)
        assert bool((ids[~mask] == 0).all())
        assert bool((sentence_of_token[~mask] == -1).all())
        features = torch.zeros(len(ids), num_sentences, 2)
        bright = self.tokenizer.words.index("bright") if "bright" in self.tokenizer.words else -1
        for row, sentence in (sentence_of_token >= 0).nonzero().tolist():
            index = sentence_of_token[row, sentence]
            looks_up = ((sentence_of_token[row] == index) & (ids[row] == bright)).any()
            features[row, index, 0] = 1.0 if looks_up else -1.0
        return features

    def patch_features(self, volume: Tensor, *, tokens: Tensor | None = None) -> Tensor:
        return (self.encoder.encode(volume) if tokens is None else tokens)[:, 1:]

    def reconstruct(self, volume: Tensor, ids_keep: Tensor, ids_masked: Tensor) -> Tensor:
        patches = patchify(apply_window(volume, RECIPE.window), RECIPE.patch_size)
        variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
        standardised = (patches - mean) / (variance + 1e-6).sqrt()
        return torch.gather(standardised, 1, ids_masked[..., None].expand(-1, -1, patches.shape[-1]))


def with_margin(volume: Tensor, value: int) -> Tensor:
    """The volume inside a margin of another value."""
    return nn.functional.pad(volume, (MARGIN,) * 6, value=value)


def box(start: tuple[int, int, int], stop: tuple[int, int, int]) -> Tensor:
    """A mask on the model's grid, True from start up to stop."""
    mask = torch.zeros(RECIPE.volume_size, dtype=torch.bool)
    mask[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = True
    return mask


def held_out(source: FakeSource, *, max_tokens: int = 64) -> tuple[HeldOutStudies, BrightnessModel]:
    """The studies of a source, and the model that reads them."""
    tokenizer = WordTokenizer()
    studies = HeldOutStudies(
        source.list,
        volumes=FakePrepared(source),
        source=source,
        reports=ReportReader(tokenizer, max_tokens),
        recipe=RECIPE,
    )
    return studies, BrightnessModel(tokenizer)
