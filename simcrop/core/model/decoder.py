"""The volume decoder: rebuilds masked patches from visible tokens (docs/method.md, section 3)."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from simcrop.core.model.encoder import Block, initialize, run_blocks
from simcrop.core.model.positions import position_table
from simcrop.core.recipe import ModelRecipe


class VolumeDecoder(nn.Module):
    """Transformer over visible patches, from the encoder, and a mask token for each that is to be rebuilt."""

    mask_token: Tensor
    pos_embed: Tensor

    def __init__(self, recipe: ModelRecipe) -> None:
        super().__init__()
        self.recompute = False
        dim = recipe.decoder_dim
        self.embed = nn.Linear(recipe.embed_dim, dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.register_buffer("pos_embed", position_table(recipe.position_embedding, recipe.grid, dim))
        blocks = [Block(dim, recipe.decoder_heads, recipe.mlp_ratio) for _ in range(recipe.decoder_depth)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, recipe.patch_values)
        initialize(self)

    def forward(
        self,
        tokens: Float[Tensor, "B L+1 E"],
        ids_keep: Int64[Tensor, "B L"],
        ids_masked: Int64[Tensor, "B M"],
    ) -> Float[Tensor, "B M P"]:
        """Predicted values of the masked patches, in the order of `ids_masked`, which may be a part of those hidden.

        The last block and the last Linear compute masked tokens only: nobody reads the others.
        """
        class_place, places = self.pos_embed[:, :1], self.pos_embed[0, 1:]
        seen = self.embed(tokens)
        seen = seen + torch.cat([class_place.expand(len(seen), -1, -1), places[ids_keep]], dim=1)
        x = torch.cat([seen, self.mask_token + places[ids_masked]], dim=1)
        last = torch.arange(seen.shape[1], x.shape[1], device=x.device).expand(len(x), -1)
        return self.head(self.norm(run_blocks(self.blocks, x, recompute=self.recompute, read=last)))
