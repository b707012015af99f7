"""A trained SimCroP model for transformers: tokens of a chest CT, and how well sentences are met in it.

Shapes: B volumes, N patches, E channels of the vision encoder, S sentences, T tokens of a sentence.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertModel, PreTrainedModel
from transformers.utils import ModelOutput

from .configuration_simcrop import SimcropConfig
from .matching import LocalPath, ProjectionHead, best_scores, holds_tissue, soft_scores, token_mean
from .vision import VisionEncoder


@dataclass
class SimcropOutput(ModelOutput):
    """What a model makes of volumes, and of sentences where they are given.

    Attributes:
        last_hidden_state: [B, N+1, E], class token first, after the final LayerNorm.
        pooler_output: [B, E], mean of the patch tokens before that LayerNorm: what probes read.
        logits_per_image: [B, S], score of every sentence in every volume, from -1 to 1.
    """

    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None
    logits_per_image: Tensor | None = None


class SimcropModel(PreTrainedModel):
    """Vision encoder, and for zero-shot a text encoder and the heads of the space that both share."""

    config_class = SimcropConfig
    base_model_prefix = "simcrop"
    main_input_name = "pixel_values"
    _supports_sdpa = True

    def __init__(self, config: SimcropConfig) -> None:
        super().__init__(config)
        self.encoder = VisionEncoder(
            volume_size=config.volume_size,
            patch_size=config.patch_size,
            windows=config.windows,
            hidden_size=config.hidden_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            intermediate_size=config.intermediate_size,
            position_embedding=config.position_embedding,
        )
        self.text_encoder = None if config.text_config is None else TextEncoder(config)
        self.image_head = self.text_head = self.local = self.local_text_head = None
        if self.text_encoder is not None:
            self._add_heads(config, self.text_encoder.bert.config.hidden_size)
        self.post_init()

    def _add_heads(self, config: SimcropConfig, text_width: int) -> None:
        """Either side's way into the space that patches and sentences share."""
        if config.local_patch_size is None:
            self.image_head = ProjectionHead(config.hidden_size, config.projection_dim)
            self.text_head = ProjectionHead(text_width, config.projection_dim)
            return
        self.local = LocalPath(
            patch_size=config.local_patch_size,
            windows=config.windows,
            air_window=config.air_window,
            dim=config.local_dim,
            depth=config.local_depth,
            projection_dim=config.projection_dim,
        )
        self.local_text_head = ProjectionHead(text_width, config.projection_dim)

    def forward(
        self,
        pixel_values: Tensor,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        return_dict: bool | None = None,
    ) -> SimcropOutput | tuple[Any, ...]:
        """Tokens of volumes; with sentences, their scores there too.

        Args:
            pixel_values: [B, 1, H, W, D] in HU, as the image processor makes them; windows are applied inside.
            input_ids, attention_mask, token_type_ids: [S, T], as the tokenizer makes them of single sentences.
            return_dict: False gives a tuple.
        """
        tokens = self.encoder.encode(pixel_values, normalized=False)
        normed, pooled = self.encoder.norm(tokens), tokens[:, 1:].float().mean(1)
        scores = None
        if input_ids is not None:
            sentences = self.get_text_features(input_ids, attention_mask, token_type_ids)
            scores = self.scores(sentences, self._patch_features(pixel_values, normed))
        output = SimcropOutput(last_hidden_state=normed, pooler_output=pooled, logits_per_image=scores)
        return output.to_tuple() if return_dict is False else output

    def get_image_features(self, pixel_values: Tensor) -> Tensor:
        """Every patch of volumes in the space of sentences, [B, N, projection_dim]; a patch of air may be zero.

        Patch (h, w, d) of a grid (gH, gW, gD) is row (h * gW + w) * gD + d. With a local path, patches have
        `config.local_patch_size` voxels.

        Raises:
            ValueError: the model has an image side alone.
        """
        tokens = self.encoder(pixel_values) if self.local is None else None
        return self._patch_features(pixel_values, tokens)

    def get_text_features(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """Single sentences in the space of patches, [S, projection_dim]. Arguments and errors as above."""
        if self.text_encoder is None:
            raise ValueError(_IMAGE_ALONE)
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        hidden, words = self.text_encoder(input_ids, mask.bool(), token_type_ids)
        if self.local_text_head is None:
            assert self.text_head is not None
            return token_mean(self.text_head(hidden), words)
        return self.local_text_head(token_mean(hidden, words)) * words.any(1, keepdim=True)

    def scores(self, text_features: Tensor, image_features: Tensor) -> Tensor:
        """Score [B, S] of sentences [S, dim] in volumes of patches [B, N, dim], from -1 to 1: no probability."""
        with torch.autocast(text_features.device.type, enabled=False):  # cosines keep their precision
            if self.config.score_pooling == "soft":
                return soft_scores(text_features, image_features, self.config.score_temperature)
            return best_scores(text_features, image_features, self.config.score_top_k)

    def _patch_features(self, volume: Tensor, tokens: Tensor | None) -> Tensor:
        if self.local is not None:
            features = self.local(volume)
        elif self.image_head is not None and tokens is not None:
            features = self.image_head(tokens[:, 1:])
        else:
            raise ValueError(_IMAGE_ALONE)
        if not self.config.ignore_air:
            return features
        patch = self.config.local_patch_size or self.config.patch_size
        return features * holds_tissue(volume, patch, self.config.air_window)[..., None]


class TextEncoder(nn.Module):
    """A BERT that reads single sentences."""

    def __init__(self, config: SimcropConfig) -> None:
        super().__init__()
        assert config.text_config is not None
        self.reads_apart, self.reads_separator = config.reads_sentences_apart, config.reads_separator
        self.bert = BertModel(config.text_config, add_pooling_layer=False)

    def forward(self, input_ids: Tensor, mask: Tensor, token_type_ids: Tensor | None) -> tuple[Tensor, Tensor]:
        """Last hidden state [S, T, hidden], and which tokens [S, T] are of the sentence itself.

        Args:
            input_ids: [S, T], first a token that begins the text, last one that ends it, then padding.
            mask: [S, T], False at padding.
            token_type_ids: of BERT.
        """
        number = mask.cumsum(1)
        words = mask & (number > 1) & (number < number[:, -1:])
        if self.reads_apart:  # words see words alone and are counted from 0, as in a report of several sentences
            owner = words.long() + 2 * mask.long()
            seen, places = (owner[:, :, None] == owner[:, None, :])[:, None], (number - 2).clamp_min(0) * words
        else:
            read = mask if self.reads_separator else mask & (number < number[:, -1:])
            seen, places = read[:, None, None], (number - 1).clamp_min(0) * read
        hidden = self.bert(
            input_ids=input_ids, attention_mask=seen, position_ids=places, token_type_ids=token_type_ids
        ).last_hidden_state
        return hidden, words


_IMAGE_ALONE = "this model has an image side alone: it was not trained to compare sentences with patches"
