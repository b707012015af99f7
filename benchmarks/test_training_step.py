"""A whole training step, all objectives on: with the kernels and with the reference, and with each of its levers.

On a GPU the ViT-B at 32 studies; on a CPU the tiny preset, where only the reference runs.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from kernel_inputs import Draw
from measuring import DEVICE, H200_TFLOPS
from torch.utils.flop_counter import FlopCounterMode

from simcrop import compose
from simcrop.adapters.config import RunConfig
from simcrop.adapters.settings import load_config
from simcrop.core.learner import Learner
from simcrop.core.masking import draw_patch_mask
from simcrop.core.optimization import make_optimizers
from simcrop.core.ports import SingleProcess
from simcrop.core.study import Batch
from simcrop.core.training import train_step

ON_GPU = DEVICE.type == "cuda"
PRESET, STUDIES, SENTENCES, WORDS = ("vit_b", 32, 32, 12) if ON_GPU else ("tiny", 8, 10, 8)
VARIANTS: dict[str, Sequence[str]] = {
    "simcrop (reference)": ("train.ops=reference",),
    "simcrop, blocks compiled": ("train.compile=true",),
}
if ON_GPU:
    VARIANTS |= {
        "simcrop (Triton)": ("train.ops=triton",),
        "simcrop (Triton), torch's order of attention": ("train.ops=triton", "train.attention=torch"),
        "simcrop (Triton), flash attention first": ("train.ops=triton", "train.attention=flash"),
        "simcrop (Triton), 12 decoder heads": ("train.ops=triton", "model.decoder_heads=12"),
    }


@pytest.mark.parametrize("name", list(VARIANTS))
def test_step(name: str, measure: Callable[..., None], tmp_path: Path) -> None:
    config = configured(tmp_path, VARIANTS[name])
    torch.manual_seed(0)
    model, _ = compose.build_model(config, reports=lambda: ["The heart is normal. No pleural effusion is seen."] * 99)
    model.to(DEVICE).train()
    if config.train.compile:
        for block in [*model.encoder.blocks, *(model.decoder.blocks if model.decoder else [])]:
            block.compile()
    learner = Learner(model, model, make_optimizers(model, config.train), config.train, 0, DEVICE)
    batch = made(config)

    def step() -> object:
        return train_step(learner, [batch], step=1, communicator=SingleProcess())

    with FlopCounterMode(display=False) as counter:
        uncompiled = replace(learner, recipe=replace(config.train, compile=False))
        train_step(uncompiled, [batch], step=1, communicator=SingleProcess())
    flops = float(counter.get_total_flops())
    measure(
        f"training step, {PRESET}, {STUDIES} studies",
        name,
        step,
        flops=flops,
        num_bytes=0.0,
        floor_s=flops / H200_TFLOPS / 1e12,
        rounds=5,
    )


def configured(folder: Path, options: Sequence[str]) -> RunConfig:
    path = folder / "run.yaml"
    path.write_text(f"name: step\nmodel: {{preset: {PRESET}}}\n", encoding="utf-8")
    return load_config(path, [f"train.device={DEVICE.type}", *options])


def made(config: RunConfig) -> Batch:
    """Random volumes, and reports of as many sentences as real ones have."""
    draw, recipe = Draw(), config.model
    masks = [draw_patch_mask(recipe.num_patches, recipe.mask_ratio, Draw(b).generator) for b in range(STUDIES)]
    ids_keep, ids_masked = (torch.stack(ids) for ids in zip(*masks, strict=True))
    length = SENTENCES * WORDS + 2
    ids = draw.whole(20, STUDIES, length, low=5)
    places = torch.arange(length)
    is_word = ((places > 0) & (places < length - 1)).expand(STUDIES, -1)
    return Batch(
        volume=draw.volume(STUDIES, 1, *recipe.volume_size, dtype=torch.int16),
        ids_keep=ids_keep,
        ids_masked=ids_masked,
        findings_ids=ids,
        findings_mask=torch.ones_like(is_word),
        sentence_of_token=torch.where(is_word, (places - 1) // WORDS, -1),
        sentence_mask=torch.ones(STUDIES, SENTENCES, dtype=torch.bool),
        sentence_keys=draw.whole(2**40, STUDIES, SENTENCES, low=1),
        report_ids=ids,
        report_input_ids=ids,
        report_mask=torch.ones_like(is_word),
        report_masked=is_word & (places % 2 == 1),
        study_keys=torch.arange(STUDIES),
        study_ids=tuple(str(b) for b in range(STUDIES)),
    )
