"""Sizes of a SimCroP model for transformers, and how it compares sentences with patches."""

from collections.abc import Sequence
from typing import Any

from transformers import BertConfig, PretrainedConfig

Window = Sequence[float]


class SimcropConfig(PretrainedConfig):
    """Configuration of a `SimcropModel`.

    Args:
        volume_size: voxels along x, y, z (right, front, head) that the model was trained on.
        spacing_mm: of these voxels.
        patch_size: voxels of a patch of the vision encoder.
        windows: HU ranges under which a volume is read; each is a channel of the patch embedding.
        air_window: HU range by which patches of air are told from tissue.
        hidden_size, num_hidden_layers, num_attention_heads, intermediate_size: of the vision encoder.
        position_embedding: sincos3d or sincos_hw.
        projection_dim: width of the space that patches and sentences share.
        ignore_air: whether a patch of air is nowhere in that space.
        local_patch_size: voxels of a patch of the local path; None where the encoder's own patches are compared.
        local_dim, local_depth: sizes of the local path.
        score_pooling: soft or best; how the cosines of a sentence with all patches become its score.
        score_temperature: of the pooling soft.
        score_top_k: of the pooling best.
        reads_sentences_apart: whether a sentence is read without the tokens that begin and end a text.
        reads_separator: whether a text is read with the token that ends it.
        text_config: of the text encoder, a BERT; None where the model has an image side alone.
    """

    model_type = "simcrop"

    def __init__(
        self,
        volume_size: Sequence[int] = (96, 96, 48),
        spacing_mm: Sequence[float] = (3.5, 3.5, 7.0),
        patch_size: Sequence[int] = (12, 12, 6),
        windows: Sequence[Window] = ((-1000.0, 1000.0),),
        air_window: Window = (-1000.0, 1000.0),
        hidden_size: int = 128,
        num_hidden_layers: int = 4,
        num_attention_heads: int = 4,
        intermediate_size: int = 512,
        position_embedding: str = "sincos3d",
        projection_dim: int = 96,
        ignore_air: bool = True,
        local_patch_size: Sequence[int] | None = None,
        local_dim: int = 128,
        local_depth: int = 1,
        score_pooling: str = "soft",
        score_temperature: float = 0.05,
        score_top_k: int = 5,
        reads_sentences_apart: bool = True,
        reads_separator: bool = True,
        text_config: dict[str, Any] | BertConfig | None = None,
        **kwargs: Any,
    ) -> None:
        self.volume_size, self.spacing_mm, self.patch_size = list(volume_size), list(spacing_mm), list(patch_size)
        self.windows, self.air_window = [list(window) for window in windows], list(air_window)
        self.hidden_size, self.num_hidden_layers = hidden_size, num_hidden_layers
        self.num_attention_heads, self.intermediate_size = num_attention_heads, intermediate_size
        self.position_embedding = position_embedding
        self.projection_dim, self.ignore_air = projection_dim, ignore_air
        self.local_patch_size = None if local_patch_size is None else list(local_patch_size)
        self.local_dim, self.local_depth = local_dim, local_depth
        self.score_pooling, self.score_temperature, self.score_top_k = score_pooling, score_temperature, score_top_k
        self.reads_sentences_apart, self.reads_separator = reads_sentences_apart, reads_separator
        self.text_config = BertConfig(**text_config) if isinstance(text_config, dict) else text_config
        super().__init__(**kwargs)
