"""The volume decoder: rebuilds masked patches from visible tokens (docs/method.md, section 3)."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from simcrop.core.model.encoder import Block, initialize, run_blocks
from simcrop.core.model.positions import position_table
from simcrop.core.recipe import ModelRecipe


class VolumeDecoder(nn.Module):
    """Transformer over all patches, visible ones from the encoder and mask tokens elsewhere."""

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
        """Predicted values of the masked patches, in the order of `ids_masked`.

        The last block and the last Linear compute masked tokens only: nobody reads the others.
        """
        x = self.embed(tokens)
        B, _, dim = x.shape
        num_patches = self.pos_embed.shape[1] - 1
        full = self.mask_token.to(x.dtype).expand(B, num_patches, dim)
        full = full.scatter(1, ids_keep[..., None].expand(-1, -1, dim), x[:, 1:])
        full = torch.cat([x[:, :1], full], dim=1) + self.pos_embed
        # The class token comes first, so patch i is token i + 1.
        masked = run_blocks(self.blocks, full, recompute=self.recompute, read=ids_masked + 1)
        return self.head(self.norm(masked))
