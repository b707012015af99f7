"""Let the masked report read the volume, and predict its words (docs/method.md, section 5, items 2 to 6)."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from simcrop.core.data.batch import at_places
from simcrop.core.model.attention import masked_attention
from simcrop.core.recipe import ModelRecipe

_EPS = 1e-12
_ALIGNED = 8
"""Of a multiple of so many 16-bit numbers, a product takes the fast path of cuBLAS: BERT has 30522 words."""


class ProjectionHead(nn.Module):
    """Linear, GELU, LayerNorm, Linear: from an encoder's width to the width shared by image and text."""

    def __init__(self, in_dim: int, dim: int) -> None:
        super().__init__()
        self.dense = nn.Linear(in_dim, dim)
        self.norm = nn.LayerNorm(dim, eps=_EPS)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Float[Tensor, "B L in"]) -> Float[Tensor, "B L dim"]:
        return self.out(self.norm(F.gelu(self.dense(x))))


class CrossAttention(nn.Module):
    """Multi-head attention with its own projections; self-attention where queries and keys are the same.

    Args:
        dim: width.
        num_heads: that divide it.
        dropout: of the attention probabilities.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.query, self.key, self.value = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(
        self,
        queries: Float[Tensor, "B T dim"],
        memory: Float[Tensor, "B N dim"],
        memory_mask: Bool[Tensor, "B N"] | None = None,
    ) -> Float[Tensor, "B T dim"]:
        q, k, v = (
            layer(x).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for layer, x in ((self.query, queries), (self.key, memory), (self.value, memory))
        )
        dropout = self.dropout if self.training else 0.0
        if memory_mask is None:
            gathered = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
        else:
            with masked_attention(q.device):
                gathered = F.scaled_dot_product_attention(
                    q, k, v, attn_mask=memory_mask[:, None, None], dropout_p=dropout
                )
        return gathered.transpose(1, 2).flatten(2)


class Residual(nn.Module):
    """Dense, dropout, add, LayerNorm: how a post-norm layer takes in what one of its parts says."""

    def __init__(self, in_dim: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(in_dim, dim)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(dim, eps=_EPS)

    def forward(self, update: Float[Tensor, "B T in"], x: Float[Tensor, "B T dim"]) -> Float[Tensor, "B T dim"]:
        return self.norm(x + self.dropout(self.dense(update)))


class PostNormLayer(nn.Module):
    """A BERT layer: self-attention and feed-forward, each followed by `Residual`."""

    def __init__(self, recipe: ModelRecipe) -> None:
        super().__init__()
        dim, mlp_dim, dropout = recipe.projection_dim, recipe.fusion_mlp_dim, recipe.dropout
        self.attention = CrossAttention(dim, recipe.fusion_heads, recipe.attention_dropout)
        self.after_attention = Residual(dim, dim, dropout)
        self.feed = nn.Linear(dim, mlp_dim)
        self.after_feed = Residual(mlp_dim, dim, dropout)

    def forward(self, x: Float[Tensor, "B T dim"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B T dim"]:
        return self.feed_forward(self.attend(x, mask))

    def attend(self, x: Float[Tensor, "B T dim"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B T dim"]:
        """The first half."""
        return self.after_attention(self.attention(x, x, mask), x)

    def feed_forward(self, x: Float[Tensor, "B T dim"]) -> Float[Tensor, "B T dim"]:
        """The second half."""
        return self.after_feed(F.gelu(self.feed(x)), x)


class FusionLayer(nn.Module):
    """One layer that adds the image to the report: word by patch, and the whole scan to every word."""

    def __init__(self, recipe: ModelRecipe) -> None:
        super().__init__()
        dim = recipe.projection_dim
        self.image = nn.Linear(recipe.embed_dim, dim)
        self.layer = PostNormLayer(recipe)
        self.cross = CrossAttention(dim, recipe.fusion_heads, recipe.attention_dropout)
        self.instance = nn.Linear(dim, dim)
        self.after_cross = Residual(dim, dim, recipe.dropout)

    def forward(
        self,
        words: Float[Tensor, "B T dim"],
        word_mask: Bool[Tensor, "B T"],
        patches: Float[Tensor, "B L image_dim"],
        extra: Float[Tensor, "B n dim"] | None = None,
    ) -> Float[Tensor, "B T dim"]:
        """Words after reading the visible patches (without the class token), and what is to stand before them."""
        image = self.image(patches)
        instance = self.instance(image.mean(1, keepdim=True))
        image = image if extra is None else torch.cat([extra.to(image.dtype), image], dim=1)
        words = self.layer.attend(words, word_mask)
        words = self.after_cross(self.cross(words, image) + instance, words)
        return self.layer.feed_forward(words)


class TextDecoder(nn.Module):
    """BERT layers over the fused words, and an untied masked-language-model head."""

    def __init__(self, recipe: ModelRecipe, vocab_size: int) -> None:
        super().__init__()
        dim = recipe.projection_dim
        self.layers = nn.ModuleList(PostNormLayer(recipe) for _ in range(recipe.text_decoder_depth))
        self.dense = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim, eps=_EPS)
        self.head = nn.Linear(dim, vocab_size)

    def forward(
        self, words: Float[Tensor, "B T dim"], word_mask: Bool[Tensor, "B T"], wanted: Int64[Tensor, "n"] | None
    ) -> Float[Tensor, "n vocab"]:
        """Logits of the wanted places among all B * T words; None: of every word."""
        return self.predict(self.read(words, word_mask), wanted)

    def read(self, words: Float[Tensor, "B T dim"], word_mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B T dim"]:
        """Words after the layers."""
        for layer in self.layers:
            words = layer(words, word_mask)
        return words

    def predict(self, words: Float[Tensor, "B T dim"], wanted: Int64[Tensor, "n"] | None) -> Float[Tensor, "n vocab"]:
        """Logits of words that were read."""
        hidden = self.norm(F.gelu(self.dense(at_places(words, wanted))))
        return padded_linear(self.head, hidden, multiple=_ALIGNED if hidden.is_cuda else 1)


def padded_linear(linear: nn.Linear, x: Float[Tensor, "n in"], *, multiple: int) -> Float[Tensor, "n out"]:
    """What a layer gives, computed with outputs of zeros beside its own until their number is a multiple."""
    missing = -linear.out_features % multiple
    if not missing:
        return linear(x)
    weight, bias = F.pad(linear.weight, (0, 0, 0, missing)), F.pad(linear.bias, (0, missing))
    return F.linear(x, weight, bias)[:, : linear.out_features]
