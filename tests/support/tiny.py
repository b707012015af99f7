"""A model and batches small enough for a test of the loop: 8 patches, two-word sentences, no files."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from simcrop.core.data.augment import Augmentation
from simcrop.core.data.batch import Inputs, MaskedReport, PreparedBatch, Tokens
from simcrop.core.model.masking import draw_patch_mask
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.ports import Communicator, State
from simcrop.core.randomness import derive_seed, generator
from simcrop.core.recipe import (
    AlignmentRecipe,
    LateInteractionRecipe,
    ModelRecipe,
    ObjectivesRecipe,
    Optimisation,
    TextEncoderRecipe,
)
from simcrop.core.reference import REFERENCE
from simcrop.core.training.optimization import make_optimizers

VOCABULARY = 32
CLS, SEP, MASK = 1, 2, 3
MOST_SENTENCES = 8
MODEL = ModelRecipe(
    volume_size=(8, 8, 8),
    local_patch_size=None,
    patch_size=(4, 4, 4),
    mask_ratio=0.5,
    embed_dim=12,
    depth=1,
    num_heads=2,
    decoder_dim=12,
    decoder_depth=1,
    decoder_heads=2,
    projection_dim=8,
    fusion_heads=2,
    fusion_mlp_dim=8,
    text_decoder_depth=1,
)
LOCAL = replace(MODEL, local_patch_size=(2, 2, 4), local_dim=8, local_keep=0.5)
OBJECTIVES = ObjectivesRecipe(
    alignment=AlignmentRecipe(top_k=2), late_interaction=LateInteractionRecipe(pooling="best", top_k=2)
)
TEXT = TextEncoderRecipe(hidden_size=8, num_heads=2)


class WordEncoder(nn.Module):
    """A text encoder that looks at each word by itself."""

    hidden_size = 8

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, self.hidden_size)
        self.dense = nn.Linear(self.hidden_size, self.hidden_size)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, sentence_of_token: Tensor | None = None) -> Tensor:
        return self.dense(self.words(input_ids)) * attention_mask[..., None]


def make_model(
    objectives: ObjectivesRecipe = OBJECTIVES, *, model: ModelRecipe = MODEL, seed: int = 0, dropout: float = 0.0
) -> SimCroP:
    """The same weights for the same seed."""
    torch.manual_seed(seed)
    recipe = replace(model, dropout=dropout)
    return SimCroP(recipe, objectives, TEXT, text_encoder=WordEncoder(), vocab_size=VOCABULARY, ops=REFERENCE)


def make_batch(sentence_counts: Sequence[int], *, key: object = 0, room: int = 0) -> PreparedBatch:
    """One study for each number of sentences; a study's content depends on `key` and its place alone.

    The volumes are prepared in the model's size, and augmented by nothing. Of a study without a sentence no organ is
    known.

    Args:
        sentence_counts: sentences of each study, two words each; 0 is allowed.
        key: names the content.
        room: studies of this batch are numbered from here, so that two batches can be two halves of one.
    """
    size = MODEL.volume_size
    draws = [generator("tiny", key, room + index) for index in range(len(sentence_counts))]
    most = max([1, *sentence_counts])
    masks = [draw_patch_mask(MODEL.num_patches, MODEL.num_visible, draw) for draw in draws]
    texts = [_text(count, most, draw) for count, draw in zip(sentence_counts, draws, strict=True)]
    ids, mask, sentence_of_token = (torch.stack(parts) for parts in zip(*texts, strict=True))
    masked = (sentence_of_token >= 0) & (torch.arange(ids.shape[1]) % 2 == 0)
    present = torch.arange(most) < torch.tensor(sentence_counts)[:, None]
    studies = torch.tensor([derive_seed("tiny", key, room + index) for index in range(len(draws))])
    keys = torch.stack([torch.randint(1, 2**62, (MOST_SENTENCES,), generator=draw)[:most] for draw in draws])
    inputs = Inputs(
        ids_keep=torch.stack([keep for keep, _ in masks]),
        ids_masked=torch.stack([hidden for _, hidden in masks]),
        findings=Tokens(ids, mask, sentence_of_token),
        sentence_mask=present,
        sentence_keys=keys * present,
        report=MaskedReport.of(ids, ids.masked_fill(masked, MASK), mask, masked),
        study_keys=studies,
        study_ids=tuple(f"study_{key}_{room + index}" for index in range(len(draws))),
        local_draws=studies,
    )
    volume = torch.stack([torch.randint(-1000, 1000, (1, *size), generator=draw).short() for draw in draws])
    shares = torch.stack([torch.rand(MODEL.num_visible, 2, generator=draw) for draw in draws])
    unknown = (torch.tensor(sentence_counts) == 0)[:, None, None]
    inputs = replace(inputs, organ_shares=shares.masked_fill(unknown, torch.nan))
    return PreparedBatch(volume, (Augmentation((0, 0, 0), size, size),) * len(draws), inputs)


def _text(count: int, most: int, draw: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    length, places = 2 * count + 2, torch.arange(2 * most + 2)
    words = torch.randint(4, VOCABULARY, (2 * MOST_SENTENCES + 2,), generator=draw)[: len(places)]
    words[0], words[length - 1], words[length:] = CLS, SEP, 0
    sentence_of_token = torch.where((places > 0) & (places < length - 1), (places - 1) // 2, -1)
    return words, places < length, sentence_of_token


class FixedBatches:
    """Training batches: equally many studies in every micro-batch, all different."""

    def __init__(self, num_studies: int = 2, accumulate: int = 1) -> None:
        self._num_studies, self._accumulate = num_studies, accumulate

    def batches(self, first_step: int) -> Iterator[Sequence[PreparedBatch]]:
        step = first_step
        while True:
            yield [make_batch([2] * self._num_studies, key=(step, micro)) for micro in range(self._accumulate)]
            step += 1


@dataclass(frozen=True)
class Numbers:
    """A micro-batch of numbers; a study each."""

    values: tuple[float, ...]

    @property
    def study_ids(self) -> tuple[str, ...]:
        return tuple(map(str, self.values))


class OneWeight:
    """A learner whose one weight w has the loss w times the mean of a step's numbers."""

    best_by = ("score",)

    def __init__(self, settings: Optimisation) -> None:
        self.model = nn.Linear(1, 1, bias=False)
        nn.init.ones_(self.model.weight)
        self.settings = settings
        self.optimizers = make_optimizers(self.model, settings)

    @property
    def weight(self) -> float:
        return self.model.weight.item()

    def counts(self, batches: Sequence[Numbers], communicator: Communicator) -> Sequence[int]:
        return ()

    def losses(
        self, batches: Sequence[Numbers], *, step: int, totals: Sequence[int], communicator: Communicator
    ) -> Iterator[dict[str, Tensor]]:
        num = sum(len(batch.values) for batch in batches)
        for batch in batches:
            loss = self.model.weight.sum() * sum(batch.values) / num
            yield {"loss": loss, "loss_twice": 2 * loss}


class KeptInMemory:
    """The port CheckpointStore in a dict: step -> (weights, state, metrics)."""

    def __init__(self) -> None:
        self.saved: dict[int, tuple[dict[str, Tensor], State, dict[str, float]]] = {}

    def save(self, step: int, model: nn.Module, state: State, *, metrics: Mapping[str, float] | None = None) -> None:
        weights = {name: value.clone() for name, value in model.state_dict().items()}
        moments = {name: {k: v.clone() for k, v in row.items()} for name, row in state["optimizer"].items()}
        self.saved[step] = weights, {**state, "optimizer": moments}, dict(metrics or {})

    def check(self) -> None:
        return

    def finish(self) -> None:
        return


class Rows:
    """The port MetricSink in a list."""

    def __init__(self, rows: Iterable[Mapping[str, float | int]] = ()) -> None:
        self.rows = [dict(row) for row in rows]

    def write(self, row: Mapping[str, float | int]) -> None:
        self.rows.append(dict(row))

    def rewind(self, step: int) -> None:
        self.rows = [row for row in self.rows if row["step"] <= step]

    def close(self) -> None:
        return
