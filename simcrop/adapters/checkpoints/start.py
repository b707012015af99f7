"""Start a new vision encoder from released weights (`model.init`), and account for every tensor of their file."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from simcrop.adapters.checkpoints.encoder_file import Trained, open_weights
from simcrop.adapters.checkpoints.foreign_encoder import SAME_TABLE, depth_of, lacking_in, listed, sizes_of
from simcrop.adapters.checkpoints.left_out import LeftOut, left_out, table_left_out
from simcrop.core.errors import CheckpointError, ConfigError
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.recipe import ModelRecipe

_log = logging.getLogger("simcrop")

_EMBEDDING, _BIAS = "patch_embed.proj.weight", "patch_embed.proj.bias"
_STANDARD_HEADS = {(192, 12): 3, (384, 12): 6, (768, 12): 12, (1024, 24): 16, (1280, 32): 16}
"""Width and blocks of the ViTs that are published as ViT-Ti, S, B, L and H -> their attention heads."""


@dataclass(frozen=True)
class Start:
    """What an encoder took from a file, what it did not, and what still is at its random start.

    Attributes:
        file: its name.
        sha256: of it.
        loaded: the encoder's tensors that were taken, inflated ones included.
        inflated: those that were made of tensors of a 2D model.
        left_out: everything else in the file.
        random: the encoder's tensors that were not taken, and the names of the model's other parts.
        size: number of the encoder's tensors that a file could have.
    """

    file: str
    sha256: str
    loaded: tuple[str, ...]
    inflated: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    random: tuple[str, ...]
    size: int

    def tell(self, path: Path) -> None:
        """Say the same in the log; what simcrop does not know is a warning there."""
        parts = [name for name in self.loaded if not name.startswith("blocks.")]
        blocks = f"{depth_of(self.loaded)} blocks, {', '.join(parts)}"
        _log.info(
            "model.init: %s: loaded %d of the encoder's %d tensors: %s", path, len(self.loaded), self.size, blocks
        )
        if self.inflated:
            _log.info("model.init: %s: inflated from a 2D model: %s", path, ", ".join(self.inflated))
        for group in self.left_out:
            _log.log(logging.INFO if group.is_known else logging.WARNING, "model.init: %s: %s", path, group)
        _log.info("model.init: %s: at a random start: %s", path, ", ".join(self.random) or "nothing")

    def record(self) -> dict[str, Any]:
        """The same as plain values, for the manifest of a checkpoint."""
        return {
            "file": self.file,
            "sha256": self.sha256,
            "loaded": len(self.loaded),
            "inflated": list(self.inflated),
            "left_out": {group.reason: group.listed for group in self.left_out},
            "random": list(self.random),
        }


def start_from(encoder: VisionEncoder, path: Path, *, other_parts: Sequence[str] = ()) -> Start:
    """Put the weights of a file or run into a new encoder.

    Blocks and final norm must all be there and fit; the class token is taken, the patch embedding as
    `model.init_patches` says, the position table never, since the model makes it. What became of every tensor goes to
    the log.

    Args:
        encoder: its weights are replaced.
        path: as for `open_weights`.
        other_parts: of the encoder's model, which begin at random.

    Raises:
        ConfigError: the file cannot be read, or is not of this encoder's width, depth, heads, windows or patch.
    """
    recipe, own = encoder.recipe, encoder.state_dict()
    try:
        opened = open_weights(path)
        tensors, others = opened.contents()
    except CheckpointError as error:
        raise ConfigError(f"model.init: {error}") from error
    if not depth_of(tensors):
        raise ConfigError(
            f"model.init: {path} does not fit: no tensor is called blocks.0.norm1.weight and so on, as timm names a "
            f"vision transformer's; it holds {listed([*tensors, *others]) or 'nothing'}; name another file, or write "
            f"scratch"
        )
    _check_fit(path, opened, tensors, recipe, own)
    fitting = {name: value for name, value in tensors.items() if name in own and value.shape == own[name].shape}
    taken = {name: value for name, value in fitting.items() if not name.startswith(("pos_embed", "patch_embed."))}
    embedding = _embedding(path, tensors, recipe, own)
    encoder.load_state_dict(own | taken | embedding)
    start = Start(
        file=path.name,
        sha256=opened.sha256,
        loaded=tuple(name for name in own if name in taken or name in embedding),
        inflated=tuple(embedding) if recipe.init_patches == "inflated" else (),
        left_out=tuple(_left_out(tensors, others, recipe, own, {*taken, *embedding})),
        random=(*(name for name in own if name not in {*taken, *embedding, "pos_embed"}), *other_parts),
        size=len(own) - 1,
    )
    start.tell(path)
    return start


def inflate(weight: Float[Tensor, "E C P Q"], channels: int, depth: int) -> Float[Tensor, "E channels P Q depth"]:
    """A 3D patch embedding that gives a stack of equal grey slices what the 2D one gives the slice.

    Summed over the colours, which a grey image has thrice; repeated along depth, and divided by it; and likewise over
    the channels, which are windows of the same voxels. Rows of the picture become x, columns y. Nothing is scaled from
    the standardised pixels of ImageNet to voxels from -1 to 1.

    Args:
        weight: of a 2D convolution over C colours.
        channels: of the 3D one.
        depth: voxels of its patch along z.

    Source: I3D, arXiv 1705.07750, section 2.4, "Bootstrapping 3D filters from 2D Filters", for depth.
    """
    slices = weight.sum(dim=1) / (channels * depth)
    return slices[:, None, :, :, None].repeat(1, channels, 1, 1, depth)


def _check_fit(
    path: Path, opened: Trained, tensors: Mapping[str, Tensor], recipe: ModelRecipe, own: Mapping[str, Tensor]
) -> None:
    """Raise ConfigError unless blocks and norm are an encoder of this recipe."""
    for key, found, words in _sizes(opened, tensors):
        wanted = getattr(recipe, key)
        if not isclose(found, wanted):
            raise ConfigError(
                f"model.init: {path} does not fit: {words}, and model.{key} is {wanted:g}; "
                f"set model.{key} to {found:g}, or name another file"
            )
    needed = {name: value for name, value in own.items() if name.startswith(("blocks.", "norm."))}
    lacking = lacking_in(tensors, needed)
    if lacking:
        raise ConfigError(
            f"model.init: {path} does not fit: {listed(lacking, '; ')}; name a file with all blocks and the final norm "
            f"of a vision transformer"
        )


def _sizes(opened: Trained, tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, float, str]]:
    """Keys of the recipe that a file decides, the value that it has, and that in words."""
    sizes = sizes_of(tensors)
    width, depth = sizes.get("embed_dim"), depth_of(tensors)
    if width is not None:
        yield "embed_dim", width, f"it is {width} wide"
    yield "depth", depth, f"it has {depth} blocks"
    if "mlp_ratio" in sizes:
        yield "mlp_ratio", sizes["mlp_ratio"], f"its MLPs are {sizes['mlp_ratio']:g} times as wide as itself"
    heads = (opened.model or {}).get("num_heads")
    if heads is not None:
        yield "num_heads", heads, f"it has {heads} attention heads"
    elif width is not None and (width, depth) in _STANDARD_HEADS:
        heads = _STANDARD_HEADS[width, depth]
        yield "num_heads", heads, f"a ViT {width} wide with {depth} blocks has {heads} attention heads"


def _embedding(
    path: Path, tensors: Mapping[str, Tensor], recipe: ModelRecipe, own: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Weight and bias of the patch embedding, where the recipe takes them from the file."""
    found, needed = tensors.get(_EMBEDDING), own[_EMBEDDING]
    bias = {_BIAS: tensors[_BIAS]} if _BIAS in tensors and tensors[_BIAS].shape == own[_BIAS].shape else {}
    if recipe.init_patches == "inflated":
        patch = recipe.patch_size
        if found is None or found.ndim != 4 or found.shape[2:] != patch[:2]:
            what = "absent" if found is None else f"of the shape {tuple(found.shape)}"
            raise ConfigError(
                f"model.init_patches: inflated needs a 2D patch embedding of {patch[0]} x {patch[1]} pixels, as "
                f"model.patch_size has, and that of {path} is {what}; write fitting, or change one of these"
            )
        return {_EMBEDDING: inflate(found.float(), recipe.input_channels, patch[2])} | bias
    if found is None:
        return {}
    if found.shape == needed.shape:
        return {_EMBEDDING: found} | bias
    if (len(found), *found.shape[2:]) == (len(needed), *needed.shape[2:]):
        raise ConfigError(
            f"model.init: {path} does not fit: {_EMBEDDING} has {found.shape[1]} channels, the model needs "
            f"{needed.shape[1]}; set model.windows to those of the file"
        )
    return {}


def _left_out(
    tensors: Mapping[str, Tensor],
    others: Sequence[str],
    recipe: ModelRecipe,
    own: Mapping[str, Tensor],
    taken: set[str],
) -> Iterator[LeftOut]:
    """Every name of the file that is not among those taken."""
    rest = [name for name in tensors if name not in taken]
    if "pos_embed" in rest:
        table, needed = tensors["pos_embed"], own["pos_embed"]
        is_same = table.shape == needed.shape and torch.allclose(table.float(), needed, rtol=0, atol=SAME_TABLE)
        yield table_left_out(recipe, is_same=is_same)
    patches = tuple(name for name in rest if name in (_EMBEDDING, _BIAS))
    if patches and _EMBEDDING not in taken:
        yield LeftOut(_why_no_embedding(tensors.get(_EMBEDDING), own[_EMBEDDING]), patches)
        rest = [name for name in rest if name not in patches]
    shaped = tuple(name for name in rest if name in own and name != "pos_embed")
    if shaped:
        yield LeftOut("of another shape", shaped)
    yield from left_out([*(name for name in rest if name not in own), *others])


def _why_no_embedding(found: Tensor | None, needed: Tensor) -> str:
    if found is None:
        return "patch embedding without its weight"
    if found.ndim == 4:
        return f"2D patch embedding {tuple(found.shape)} (model.init_patches: inflated takes it)"
    return f"patch embedding {tuple(found.shape)}, not {tuple(needed.shape)}"
