"""The text decoder: predicts the masked words of the report (docs/method.md, section 5, items 5 and 6)."""

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from simcrop.core.model.fusion import PostNormLayer
from simcrop.core.recipe import ModelRecipe


class TextDecoder(nn.Module):
    """BERT layers over the fused words, and an untied masked-language-model head."""

    def __init__(self, recipe: ModelRecipe, vocab_size: int) -> None:
        super().__init__()
        dim = recipe.projection_dim
        self.layers = nn.ModuleList(
            PostNormLayer(dim, recipe.fusion_heads, recipe.fusion_mlp_dim, recipe.dropout)
            for _ in range(recipe.text_decoder_depth)
        )
        self.dense = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim, eps=1e-12)
        self.head = nn.Linear(dim, vocab_size)

    def forward(
        self, words: Float[Tensor, "B T dim"], word_mask: Bool[Tensor, "B T"], wanted: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "n vocab"]:
        """Logits of the wanted positions only, in row-major order: nobody reads the others."""
        for layer in self.layers:
            words = layer(words, word_mask)
        return self.head(self.norm(F.gelu(self.dense(words[wanted]))))
