"""Small recipes, a text encoder, batches and ranks for the tests of the core: no files, no processes.

Nothing here is cubic, so that an exchanged axis shows: volumes of 8x9x10 voxels, patches of 4x3x2, a grid of 2x3x5.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from simcrop.core.data.batch import Batch, Inputs, MaskedReport, Tokens
from simcrop.core.model.masking import draw_patch_mask
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.objectives.losses import Counts
from simcrop.core.ports import SingleProcess
from simcrop.core.randomness import generator
from simcrop.core.recipe import (
    AlignmentRecipe,
    LateInteractionRecipe,
    ModelRecipe,
    ObjectivesRecipe,
    OrganSharesRecipe,
    ReconstructionRecipe,
    ReportRecipe,
    TextEncoderRecipe,
)
from simcrop.core.reference import REFERENCE

VOCABULARY = 40
CLS, SEP, MASK, FIRST_WORD = 1, 2, 3, 4
MODEL = ModelRecipe(
    volume_size=(8, 9, 10),
    local_patch_size=None,
    patch_size=(4, 3, 2),
    mask_ratio=0.75,
    embed_dim=12,
    depth=2,
    num_heads=3,
    mlp_ratio=2.0,
    decoder_dim=18,
    decoder_depth=1,
    decoder_heads=3,
    projection_dim=8,
    fusion_heads=2,
    fusion_mlp_dim=10,
    text_decoder_depth=1,
)
OBJECTIVES = ObjectivesRecipe(
    alignment=AlignmentRecipe(top_k=3),
    late_interaction=LateInteractionRecipe(pooling="best", top_k=2, same_above=0.999),
    organ_shares=OrganSharesRecipe(weight=1.0, classes={"lungs": ("left", "right"), "heart": ("heart",)}),
)
FROZEN = TextEncoderRecipe(hidden_size=8, num_heads=2, frozen=True)
TRAINED = TextEncoderRecipe(hidden_size=8, num_heads=2)


def only(name: str, objectives: ObjectivesRecipe = OBJECTIVES) -> ObjectivesRecipe:
    """The objectives with every weight but that of `name` at 0."""
    kept = getattr(objectives, name)
    off = ObjectivesRecipe(
        ReconstructionRecipe(weight=float(name == "reconstruction")),
        ReportRecipe(weight=float(name == "report")),
        AlignmentRecipe(weight=float(name == "alignment")),
        LateInteractionRecipe(weight=float(name == "late_interaction")),
        replace(objectives.organ_shares, weight=float(name == "organ_shares")),
    )
    return replace(off, **{name: kept})


class WordEncoder(nn.Module):
    """A text encoder in which every word sees the report's mean, or its own sentence's; its dropout tells training
    from evaluation."""

    hidden_size = 8

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, self.hidden_size)
        self.dense = nn.Linear(self.hidden_size, self.hidden_size)
        self.dropout = nn.Dropout(0.5)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, sentence_of_token: Tensor | None = None) -> Tensor:
        words = self.dropout(self.words(input_ids))
        owners = torch.zeros_like(input_ids) if sentence_of_token is None else sentence_of_token
        seen = ((owners[:, :, None] == owners[:, None]) & attention_mask[:, None]).to(words.dtype)
        return self.dense(words) + seen @ words / seen.sum(2, keepdim=True).clamp_min(1)


def make_model(
    objectives: ObjectivesRecipe = OBJECTIVES,
    *,
    model: ModelRecipe = MODEL,
    text: TextEncoderRecipe = FROZEN,
    double: bool = False,
) -> SimCroP:
    """The same weights at every call; in training mode, like a model that a loop is given."""
    torch.manual_seed(0)
    made = SimCroP(model, objectives, text, text_encoder=WordEncoder(), vocab_size=VOCABULARY, ops=REFERENCE)
    return (made.double() if double else made).train()


def terms_of(model: SimCroP, batch: Batch) -> dict[str, Tensor]:
    """The losses of a batch that is a whole step."""
    return model(batch, Counts.of([batch], model.objectives), SingleProcess())


def make_batch(sentence_counts: Sequence[int], *, room: int | None = None, first: int = 0) -> Batch:
    """Studies numbered from `first`, whose contents depend on their number alone.

    Nothing is known of any organ in studies 1, 4, 7, ..., and of the second class in studies 2, 5, 8, ...

    Args:
        sentence_counts: sentences of each study, three words each; 0 is allowed.
        room: sentences that the padded tensors have room for; None: as many as the longest report has.
        first: number of the first study, so that two batches can be the halves of a third.
    """
    room = max(sentence_counts) if room is None else room
    draws = [generator("factory", first + index) for index in range(len(sentence_counts))]
    masks = [draw_patch_mask(MODEL.num_patches, MODEL.num_visible, draw) for draw in draws]
    volume = torch.stack([torch.randint(-1400, 1400, (1, *MODEL.volume_size), generator=d).short() for d in draws])
    keys = torch.stack([torch.randint(1, 2**62, (50,), generator=draw)[:room] for draw in draws])
    words = torch.stack([torch.randint(FIRST_WORD, VOCABULARY, (200,), generator=draw) for draw in draws])
    counts, places = torch.tensor(sentence_counts)[:, None], torch.arange(3 * room + 2)
    last = 3 * counts + 1
    ids = torch.where(places <= last, words[:, : len(places)], 0)
    ids[:, 0] = CLS
    ids = ids.scatter(1, last, SEP)
    is_word = (places > 0) & (places < last)
    masked = is_word & (places % 2 == 1)
    present = torch.arange(room) < counts
    shares = torch.stack([torch.rand(MODEL.num_visible, 2, generator=draw) for draw in draws])
    kind = torch.arange(first, first + len(draws)) % 3
    unknown = torch.stack([kind == 1, kind > 0], dim=1)[:, None].expand_as(shares)
    inputs = Inputs(
        ids_keep=torch.stack([keep for keep, _ in masks]),
        ids_masked=torch.stack([hidden for _, hidden in masks]),
        findings=Tokens(ids, places <= last, torch.where(is_word, (places - 1) // 3, -1)),
        sentence_mask=present,
        sentence_keys=keys * present,
        report=MaskedReport.of(ids, ids.masked_fill(masked, MASK), places <= last, masked),
        study_keys=torch.arange(first, first + len(draws)),
        study_ids=tuple(f"study_{first + index}" for index in range(len(draws))),
        organ_shares=shares.masked_fill(unknown, torch.nan),
    )
    return Batch(volume, inputs)


def with_inputs(batch: Batch, **changes: object) -> Batch:
    """The same batch with other inputs."""
    return replace(batch, inputs=replace(batch.inputs, **changes))  # type: ignore[arg-type]


def to_double(batch: Batch) -> Batch:
    """The same batch with a float64 volume."""
    return replace(batch, volume=batch.volume.double())


class _Meeting:
    def __init__(self, world_size: int) -> None:
        self.barrier = threading.Barrier(world_size, timeout=60)
        self.slots: list[Tensor] = [torch.empty(0)] * world_size
        self.facts = [""] * world_size


class ThreadRank:
    """The port Communicator between threads; a gathered tensor keeps the graphs of all ranks."""

    def __init__(self, meeting: _Meeting, rank: int, world_size: int) -> None:
        self._meeting, self.rank, self.world_size = meeting, rank, world_size

    def gather(self, value: Tensor) -> Tensor:
        return torch.cat(self._exchange(value))

    def sum(self, value: Tensor) -> Tensor:
        return torch.stack(self._exchange(value.detach())).sum(0)

    def meet(self, fact: str = "") -> list[str]:
        self._meeting.facts[self.rank] = fact
        self._meeting.barrier.wait()
        facts = list(self._meeting.facts)
        self._meeting.barrier.wait()
        return facts

    def _exchange(self, value: Tensor) -> list[Tensor]:
        self._meeting.slots[self.rank] = value
        self._meeting.barrier.wait()
        values = list(self._meeting.slots)
        self._meeting.barrier.wait()
        return values


Result = TypeVar("Result")


def on_ranks(world_size: int, function: Callable[[ThreadRank], Result]) -> list[Result]:
    """What `function` returns on each of the ranks, which run side by side."""
    meeting = _Meeting(world_size)

    def run(rank: int) -> Result:
        try:
            return function(ThreadRank(meeting, rank, world_size))
        except BaseException:
            meeting.barrier.abort()
            raise

    with ThreadPoolExecutor(world_size) as pool:
        return list(pool.map(run, range(world_size)))
