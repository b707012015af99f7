"""Measure the size of a run and the time of its steps by one forward and backward pass on random data."""

import logging
import random
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from simcrop import compose
from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.sources.registry import build_source
from simcrop.adapters.system.memory import peak_memory
from simcrop.adapters.system.ranks import choose_device
from simcrop.core.data.batch import Batch, Inputs, MaskedReport, Tokens
from simcrop.core.data.split import nothing_held_out, split_by_patient
from simcrop.core.model.masking import draw_patch_mask, mask_report_tokens
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.objectives.contrast import compared
from simcrop.core.objectives.losses import Counts
from simcrop.core.ports import SingleProcess, Tokenizer
from simcrop.core.training.learner import numerics

_log = logging.getLogger("simcrop")
_SENTENCES = 20
_QUICK_SECONDS = 10.0
_SLOW_SECONDS = 60.0
_FIRST_STUDIES = 2


@dataclass(frozen=True)
class Size:
    """Memory and time that a run will take.

    Attributes:
        parameters: part of the model -> (all, trained).
        base_bytes: what the process held before the model existed.
        weight_bytes: weights, gradients and the optimizer's two averages.
        checkpoint_bytes: the copy of weights and averages from which a checkpoint is written, beside the steps.
        activation_bytes: what the forward pass of one micro-batch keeps for the backward pass.
        step_seconds: forward and backward of all micro-batches of one step.
        measured_studies: studies that were timed together; the rest is in proportion.
        training_studies: studies trained on.
    """

    parameters: dict[str, tuple[int, int]]
    base_bytes: int
    weight_bytes: int
    checkpoint_bytes: int
    activation_bytes: int
    step_seconds: float
    measured_studies: int
    training_studies: int


def measure(config: RunConfig) -> Size:
    """Build the model, run it on random studies, and report what it took. Neither makes data nor writes files."""
    base = peak_memory() or 0
    if config.train.threads is not None:
        torch.set_num_threads(config.train.threads)
    num_studies, reports = _studies(config)
    model, tokenizer = compose.build_model(config, reports=lambda: reports)
    model.to(choose_device(config.train.device)).train()
    parameters = {
        name: (sum(p.numel() for p in part.parameters()), sum(p.numel() for p in part.parameters() if p.requires_grad))
        for name, part in model.named_children()
    }
    wanted = config.train.batch_size
    measured = min(wanted, _FIRST_STUDIES)
    seconds, activations = _pass(config, model, tokenizer, measured)
    if wanted > measured and seconds * wanted / measured <= _QUICK_SECONDS:
        measured = wanted
        seconds, activations = _pass(config, model, tokenizer, measured)
    trained = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    return Size(
        parameters=parameters,
        base_bytes=base,
        weight_bytes=weights + 3 * trained,
        checkpoint_bytes=weights + 2 * trained,
        activation_bytes=activations * wanted // measured,
        step_seconds=seconds * wanted / measured * config.train.micro_batches(1),
        measured_studies=measured,
        training_studies=num_studies,
    )


def _studies(config: RunConfig) -> tuple[int, Iterable[str]]:
    """Number of studies trained on, and texts for a vocabulary; phantoms are counted without being made."""
    data = config.data
    if data.num_to_make is None:
        train, held_out = split_by_patient(build_source(data).studies(), data.validation_fraction)
        if train and not held_out:
            _log.warning(nothing_held_out(train, data.validation_fraction))
        return len(train), [study.report.findings for study in train]
    letters = random.Random(0)
    words = ["".join(letters.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(config.text_encoder.vocab_size)]
    return data.num_to_make, [" ".join(words)]


def _pass(config: RunConfig, model: SimCroP, tokenizer: Tokenizer, num_studies: int) -> tuple[float, int]:
    """(seconds of a forward and backward pass, bytes kept between the two); the first pass of a kind warms up."""
    batch = _random_batch(config, tokenizer, num_studies)
    device = next(model.parameters()).device
    counts = Counts.of([batch], config.objectives)
    seconds, kept = 0.0, 0
    for _ in range(2):
        started = time.monotonic()
        with _counting(model) as total, numerics(device, config.train):
            if config.train.contrast == "step" and config.train.micro_batches(1) > 1:
                with torch.no_grad():
                    compared(model.begin(batch.to(device), counts, SingleProcess()))
            loss = model.total(model(batch.to(device), counts, SingleProcess()))
        loss.backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        model.zero_grad(set_to_none=True)
        seconds, kept = time.monotonic() - started, sum(total.values())
        if seconds > _SLOW_SECONDS:
            break
    return seconds, kept


@contextmanager
def _counting(model: SimCroP) -> Generator[dict[int, int]]:
    """Storages that autograd keeps, other than the weights: address -> bytes."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield kept


def _random_batch(config: RunConfig, tokenizer: Tokenizer, num_studies: int) -> Batch:
    """Studies of full-length reports: what a step needs at most."""
    model, length = config.model, config.text_encoder.max_tokens
    draw = torch.Generator().manual_seed(config.seed)
    ratio = config.objectives.reconstruction.prediction_ratio
    masks = [
        draw_patch_mask(model.num_patches, model.num_visible, draw, prediction_ratio=ratio) for _ in range(num_studies)
    ]
    keep, masked = zip(*masks, strict=True)
    ids = torch.randint(tokenizer.vocab_size, (num_studies, length), generator=draw)
    ids[:, 0], ids[:, -1] = tokenizer.cls_id, tokenizer.sep_id
    owner = torch.full((length,), -1)
    owner[1:-1] = torch.arange(length - 2) * min(_SENTENCES, length - 2) // (length - 2)
    recipe, is_real = config.objectives.report, owner >= 0
    masking = [
        mask_report_tokens(row, is_real=is_real, mask_id=tokenizer.mask_id, recipe=recipe, generator=draw)
        for row in ids
    ]
    inputs, hidden = zip(*masking, strict=True)
    num_sentences = int(owner.max()) + 1
    everywhere = torch.ones(num_studies, length, dtype=torch.bool)
    return Batch(
        volume=torch.randint(
            -1000, 1000, (num_studies, model.in_channels, *model.volume_size), generator=draw, dtype=torch.int16
        ),
        inputs=Inputs(
            ids_keep=torch.stack(keep),
            ids_masked=torch.stack(masked),
            findings=Tokens(ids, everywhere, owner.expand(num_studies, -1).contiguous()),
            sentence_mask=torch.ones(num_studies, num_sentences, dtype=torch.bool),
            sentence_keys=torch.randint(1, 2**60, (num_studies, num_sentences), generator=draw),
            report=MaskedReport.of(ids, torch.stack(inputs), everywhere, torch.stack(hidden)),
            study_keys=torch.arange(num_studies),
            study_ids=tuple(f"random {number}" for number in range(num_studies)),
        ),
    )
