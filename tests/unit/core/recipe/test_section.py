"""Every impossible value is refused by its key; values at the limit are not."""

from typing import Any

import pytest

from simcrop.core import recipe
from simcrop.core.errors import ConfigError
from simcrop.core.recipe import (
    AlignmentRecipe,
    AugmentRecipe,
    LateInteractionRecipe,
    ModelRecipe,
    ObjectivesRecipe,
    ReconstructionRecipe,
    ReportRecipe,
    TextEncoderRecipe,
    TrainRecipe,
)

REFUSED: list[tuple[type, dict[str, Any], str]] = [
    (ModelRecipe, {"in_channels": 0}, r"^in_channels: 0 is below 1$"),
    (ModelRecipe, {"patch_size": (12, 0, 6)}, r"^patch_size: axis 1 has a size below 1$"),
    (ModelRecipe, {"volume_size": (0, 96, 48)}, r"^patch_size: axis 0 has a size below 1$"),
    (ModelRecipe, {"volume_size": (96, 100, 48)}, r"^volume_size: 100 voxels on axis 1 .* patch_size 12; take 96$"),
    (ModelRecipe, {"volume_size": (96, 96, 4)}, r"^volume_size: 4 voxels on axis 2 .* take 6$"),
    (ModelRecipe, {"spacing_mm": (1.0, 0.0, 1.0)}, r"^spacing_mm: every value must be above 0$"),
    (ModelRecipe, {"window": (100.0, 100.0)}, r"^window: low 100.0 is not below high 100.0$"),
    (ModelRecipe, {"windows": ((-1000.0, 1000.0), (0.0, 0.0))}, r"^windows: low 0.0 is not below high 0.0$"),
    (ModelRecipe, {"windows": ()}, r"^windows: 0 are not 1 to 16; null for one$"),
    (ModelRecipe, {"windows": ((0.0, 1.0),) * 17}, r"^windows: 17 are not 1 to 16"),
    (ModelRecipe, {"mask_ratio": 1.0}, r"^mask_ratio: 1.0 is outside \[0, 1\)$"),
    (ModelRecipe, {"mask_ratio": -0.1}, r"^mask_ratio: -0.1 is outside"),
    (ModelRecipe, {"mask_ratio": 0.9999}, r"^mask_ratio: 0.9999 leaves no visible patch of 512$"),
    (ModelRecipe, {"embed_dim": 102}, r"^embed_dim: 102 is not divisible by num_heads 4$"),
    (ModelRecipe, {"num_heads": 0}, r"^num_heads: 0 is below 1$"),
    (ModelRecipe, {"decoder_dim": 91}, r"^decoder_dim: 91 is not divisible by decoder_heads 2$"),
    (ModelRecipe, {"projection_dim": 91}, r"^projection_dim: 91 is not divisible by fusion_heads 3$"),
    (ModelRecipe, {"projection_dim": 0}, r"^projection_dim: 0 is not divisible"),
    (
        ModelRecipe,
        {"position_embedding": "sincos_hw", "embed_dim": 9, "num_heads": 3},
        r"^embed_dim: sincos_hw needs an even width, not 9$",
    ),
    (
        ModelRecipe,
        {"position_embedding": "sincos_hw", "decoder_dim": 9, "decoder_heads": 3},
        r"^decoder_dim: sincos_hw needs an even width, not 9$",
    ),
    (ModelRecipe, {"dropout": 1.0}, r"^dropout: 1.0 is outside \[0, 1\)$"),
    (TextEncoderRecipe, {"dropout": 1.0}, r"^dropout: 1.0 is outside \[0, 1\)$"),
    *(
        (ModelRecipe, {key: 0}, rf"^{key}: 0 is below 1$")
        for key in ("depth", "decoder_depth", "text_decoder_depth", "fusion_mlp_dim")
    ),
    *(
        (ModelRecipe, {key: 10_000_000}, rf"^{key}: 10000000 is above 256$")
        for key in ("depth", "decoder_depth", "text_decoder_depth", "local_depth")
    ),
    *(
        (ModelRecipe, {key: 4_000_000}, rf"^{key}: 4000000 is above 65536$")
        for key in ("in_channels", "embed_dim", "decoder_dim", "projection_dim", "fusion_mlp_dim", "local_dim")
    ),
    (ModelRecipe, {"embed_dim": 10**4000}, r"^embed_dim: 1\d+\.\.\.\d+ is above 65536$"),
    (ModelRecipe, {"mlp_ratio": 1e300}, r"^mlp_ratio: 1e\+300 is above 64$"),
    (ModelRecipe, {"mlp_ratio": 0.0}, r"^mlp_ratio: 0.0 is not above 0$"),
    (ModelRecipe, {"spacing_mm": (1.0, 1.0, 1e9)}, r"^spacing_mm: 1e\+09 is above a metre$"),
    (
        ModelRecipe,
        {"volume_size": (100_000,) * 3},
        r"^volume_size: \(100000, 100000, 100000\) are more than 536,870,912",
    ),
    (ModelRecipe, {"volume_size": (10**4000, 96, 48)}, r"^volume_size: \(1\d+\.\.\.\d+, 96, 48\) are more than"),
    (ModelRecipe, {"volume_size": (512,) * 3, "patch_size": (4,) * 3}, r"^patch_size: 2,097,152 patches .* too many$"),
    (ModelRecipe, {"local_patch_size": (1, 1, 1)}, r"^local_patch_size: 442,368 patches are too many$"),
    (TextEncoderRecipe, {"hidden_size": 3_000_000}, r"^hidden_size: 3000000 is above 65536$"),
    (TextEncoderRecipe, {"depth": 300}, r"^depth: 300 is above 256$"),
    (TextEncoderRecipe, {"vocab_size": 1 << 30}, r"^vocab_size: 1073741824 is above 1048576$"),
    (TextEncoderRecipe, {"max_tokens": 1 << 30}, r"^max_tokens: 1073741824 is above 65536$"),
    (ReconstructionRecipe, {"prediction_ratio": 0.0}, r"^reconstruction.prediction_ratio: 0.0 is outside \(0, 1\]$"),
    (ReconstructionRecipe, {"prediction_ratio": 0.5, "loss": "all"}, "below 1 needs loss: masked, not all$"),
    (ReportRecipe, {"mask_ratio": 0.0}, r"^report.mask_ratio: 0.0 is outside \(0, 1\]$"),
    (ReportRecipe, {"mask_ratio": 1.1}, r"^report.mask_ratio: 1.1"),
    (AlignmentRecipe, {"top_k": 0}, r"^alignment.top_k: 0 is outside 1..128$"),
    (AlignmentRecipe, {"top_k": 129}, r"^alignment.top_k: 129"),
    (AlignmentRecipe, {"temperature": 0.0}, r"^alignment.temperature: 0.0 is not above 0$"),
    (LateInteractionRecipe, {"top_k": 0}, r"^late_interaction.top_k: 0 is outside 1..128$"),
    (LateInteractionRecipe, {"top_k": 129}, r"^late_interaction.top_k: 129"),
    (ObjectivesRecipe, {"report": ReportRecipe(weight=-1.0)}, r"^report.weight: -1.0 is below 0$"),
    (
        ObjectivesRecipe,
        {
            "reconstruction": ReconstructionRecipe(weight=0.0),
            "report": ReportRecipe(weight=0.0),
            "alignment": AlignmentRecipe(weight=0.0),
            "late_interaction": LateInteractionRecipe(weight=0.0),
        },
        r"every weight is 0; nothing would be trained$",
    ),
    (TextEncoderRecipe, {"max_tokens": 7}, r"^max_tokens: 7 is below 8$"),
    (TextEncoderRecipe, {"hidden_size": 130}, r"^hidden_size: 130 is not divisible by num_heads 3$"),
    (TextEncoderRecipe, {"vocab_size": 127}, r"^vocab_size: 127 is below 128$"),
    *(
        (TrainRecipe, {key: 0}, rf"^{key}: 0 is below 1$")
        for key in ("steps", "batch_size", "accumulate", "global_batch", "checkpoint_every")
    ),
    *((TrainRecipe, {key: 0}, rf"^{key}: 0 is below 1$") for key in ("evaluate_every", "picture_every")),
    (TrainRecipe, {"keep_checkpoints": 1}, r"^keep_checkpoints: 1 is below 2$"),
    (TrainRecipe, {"lr": 0.0}, r"^lr: 0.0 is not above 0$"),
    (TrainRecipe, {"min_lr": 0.1}, r"^min_lr: 0.1 is outside \[0, lr\]$"),
    (TrainRecipe, {"min_lr": -0.1}, r"^min_lr: -0.1 is outside"),
    (TrainRecipe, {"warmup_steps": 300}, r"^warmup_steps: 300 leaves no step of 300 after the warm-up$"),
    (TrainRecipe, {"warmup_steps": -1}, r"^warmup_steps: -1 leaves"),
    (TrainRecipe, {"grad_clip": 0.0}, r"^grad_clip: 0.0 is not above 0; use null$"),
    (AugmentRecipe, {"scale": (0.0, 1.0)}, r"^augment.scale: .* is not an ascending range above 0$"),
    (AugmentRecipe, {"scale": (1.1, 1.0)}, r"^augment.scale: "),
    (AugmentRecipe, {"flip": 1.5}, r"^augment.flip: 1.5 is outside \[0, 1\]$"),
    (AugmentRecipe, {"shift_probability": -0.5}, r"^augment.shift_probability: -0.5 is outside \[0, 1\]$"),
]


@pytest.mark.parametrize(("kind", "keys", "message"), REFUSED)
def test_impossible_values_are_refused_by_key(kind: type, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        kind(**keys)


def test_values_at_the_limit_are_accepted() -> None:
    assert ModelRecipe(mask_ratio=0.0, dropout=0.0).num_visible == ModelRecipe().num_patches
    assert ReportRecipe(mask_ratio=1.0).mask_ratio == 1.0
    assert AlignmentRecipe(top_k=128).top_k == 128
    assert TrainRecipe(steps=1, warmup_steps=0, min_lr=1e-3, grad_clip=None).grad_clip is None
    assert ObjectivesRecipe(reconstruction=ReconstructionRecipe(weight=0.0)).reconstruction.weight == 0.0


def test_every_recipe_refuses_unknown_keys_at_the_edge() -> None:
    kinds = [kind for name, kind in vars(recipe).items() if name.endswith("Recipe")]
    assert len(kinds) == 10
    for kind in kinds:
        assert kind.__pydantic_config__ == {"extra": "forbid", "allow_inf_nan": False}
