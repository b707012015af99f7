"""A vision encoder from a file of weights, whose sizes follow from the tensors (docs/method.md, section 2, item 4).

What tensors cannot say is taken from the authors' published recipe: 64 channels a head, the spacing and the window are
inferred from the paper, since their file does not hold them.
"""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from simcrop.adapters.checkpoints.left_out import left_out
from simcrop.adapters.config.errors import describe
from simcrop.adapters.system.files import sha256_of
from simcrop.core.errors import CheckpointError, ConfigError
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.model.positions import position_table
from simcrop.core.ops import Ops
from simcrop.core.recipe import PRESETS, ModelRecipe, Size

_log = logging.getLogger("simcrop")

PUBLISHED = ModelRecipe(preset="vit_b", position_embedding="sincos_hw", **PRESETS["vit_b"]["model"])
"""The encoder of the authors' checkpoint."""
_CHANNELS_PER_HEAD = 64
SAME_TABLE = 2e-3
"""Largest difference between a table in half precision and the same one computed anew."""
_FEW = 4
"""Patches along h that are compared before a whole table is computed."""
_NAMED = 20
"""Names in one message."""
_BLOCK = re.compile(r"blocks\.([0-9]{1,6})\.")
_MOST_ROWS = 1 << 18
"""Of a position table whose grid is looked for among all that there are of so many patches."""


@dataclass(frozen=True)
class EncoderFile:
    """A file of weights that is no checkpoint folder; has the members of `Checkpoint` that others use.

    Attributes:
        path: of the file.
        tensors: by name, without prefix; more than the encoder's where the file has more.
        others: names of what lies beside the tensors.
        model: the `model` section of the configuration, where the file says it.
        step: updates behind the weights, where the file says it.
        manifest: empty.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    others: tuple[str, ...] = ()
    model: Mapping[str, Any] | None = None
    step: int | None = None
    manifest: Mapping[str, Any] = field(default_factory=dict[str, Any], init=False)

    @property
    def sha256(self) -> str:
        """Hash of the file."""
        return sha256_of(self.path)

    def run_config(self) -> None:
        """None: the file does not say it."""

    def weights(self) -> Mapping[str, Tensor]:
        """See `tensors`."""
        return self.tensors

    def contents(self) -> tuple[Mapping[str, Tensor], tuple[str, ...]]:
        """The tensors that may be an encoder's, and the names of all else."""
        return self.tensors, self.others

    def encoder(
        self, ops: Ops, model: Mapping[str, Any] | None = None, *, kind: type[VisionEncoder] = VisionEncoder
    ) -> VisionEncoder:
        """The encoder; what else the file holds is named in the log and left out.

        A position table of another grid than the recipe's is made anew; one of the same grid is taken as it is.

        Args:
            ops: implementation of the accelerated operations.
            model: keys of the configuration's `model` section that win over what the file says or implies, such as
                num_heads or volume_size.
            kind: class of the encoder: VisionEncoder, or one with more methods.

        Raises:
            CheckpointError: tensors are absent or of another shape; their number, and the first twenty by name.
            ConfigError: a key of `model` is wrong.
        """
        table = self.tensors.get("pos_embed")
        known = None if table is None else recognise_table(table)
        recipe = _recipe(self, known, model or {})
        with torch.device("meta"):  # sizes may be anything, until they are found to be those of the tensors
            own = kind(recipe, ops).state_dict()
        tensors, is_remade = dict(self.tensors), _is_other_grid(table, known, recipe)
        if is_remade and self._may_have_another_grid(recipe, model or {}):
            tensors["pos_embed"] = own["pos_embed"]
        _check_complete(self, tensors, own)
        encoder = kind(recipe, ops)
        if is_remade:
            _log.info(
                "%s: position table made anew, %s for a grid of %s", self.path, recipe.position_embedding, recipe.grid
            )
            tensors["pos_embed"] = encoder.pos_embed
        elif known is None and table is not None:
            _log.warning("%s: its position table is kept as it is, though neither sincos_hw nor sincos3d", self.path)
        for group in left_out([*(name for name in tensors if name not in own), *self.others]):
            _log.log(logging.INFO if group.is_known else logging.WARNING, "%s: %s", self.path, group)
        encoder.load_state_dict({name: tensors[name] for name in own})
        return encoder

    def _may_have_another_grid(self, recipe: ModelRecipe, given: Mapping[str, Any]) -> bool:
        """Whether the grid is another one because a user says so, or nobody: a file that says its own has its table."""
        return (
            self.model is None or "volume_size" in given or len(self.tensors["pos_embed"][0]) == recipe.num_patches + 1
        )

    def whole(self, name: str | Path, remedy: str) -> NoReturn:
        """Raise CheckpointError, as it holds no whole model."""
        raise CheckpointError(f"{name}: holds a vision encoder alone; {remedy}")


def recognise_table(table: Tensor) -> tuple[str, Size] | None:
    """Kind and grid of a fixed position table [1, N+1, E], or None where it is none of ours."""
    if table.ndim != 3 or table.shape[0] != 1 or table.shape[1] > _MOST_ROWS or not table.is_floating_point():
        return None
    table = table.float()
    for kind in ("sincos_hw", "sincos3d"):
        for grid in _grids(table.shape[1] - 1):
            # The first patches along h rule most grids out without the whole table.
            few, stride = min(grid[0], _FEW), grid[1] * grid[2]
            along_h = table[:, 1::stride][:, :few]
            if _is_table(along_h, kind, (few, 1, 1)) and _is_table(table[:, 1:], kind, grid):
                return kind, grid
    return None


def _is_table(rows: Tensor, kind: Any, grid: Size) -> bool:
    try:
        computed = position_table(kind, grid, rows.shape[2])[:, 1:]
    except ConfigError:  # the width does not suit the kind
        return False
    return torch.allclose(computed, rows, rtol=0, atol=SAME_TABLE)


def _grids(num_patches: int) -> list[Size]:
    """Every grid of so many patches, the most even ones first."""
    grids = [
        (h, w, num_patches // (h * w))
        for h in range(1, num_patches + 1)
        if num_patches % h == 0
        for w in range(1, num_patches // h + 1)
        if num_patches // h % w == 0
    ]
    return sorted(grids, key=lambda grid: max(grid) / min(grid))


def _is_other_grid(table: Tensor | None, known: tuple[str, Size] | None, recipe: ModelRecipe) -> bool:
    """Whether a file's position table is for another number of patches, or for as many in another grid."""
    if table is None or table.ndim != 3 or table.shape[2] != recipe.embed_dim:
        return False
    return known[1] != recipe.grid if known else table.shape[1] != recipe.num_patches + 1


def _recipe(file: EncoderFile, known: tuple[str, Size] | None, given: Mapping[str, Any]) -> ModelRecipe:
    if file.model is not None:
        return _validated({**file.model, **given}, file)
    sizes = sizes_of(file.tensors)
    tree = asdict(PUBLISHED) | sizes
    if given.get("windows") is not None:
        tree["in_channels"] = PUBLISHED.in_channels  # the file's channels are windows
    if known is not None:
        tree["position_embedding"] = known[0]
    # Of the published width and patch, it has to be the published encoder: a lacking block is told, not left out.
    if (sizes.get("embed_dim"), sizes.get("patch_size")) != (PUBLISHED.embed_dim, PUBLISHED.patch_size):
        tree["depth"] = depth_of(file.tensors) or PUBLISHED.depth
        if "volume_size" not in given:
            tree["volume_size"] = _volume_size(file, known, tree["patch_size"])
    recipe = _validated(tree | dict(given), file)
    _log.info(
        "%s: %d wide, %d blocks of %d heads, patches of %s in volumes of %s; heads, spacing (%s mm) and window (%s HU) "
        "do not stand in the file%s",
        file.path,
        *(recipe.embed_dim, recipe.depth, recipe.num_heads, recipe.patch_size, recipe.volume_size),
        *(recipe.spacing_mm, recipe.windows or recipe.window, "" if given else " and are inferred from the paper"),
    )
    return recipe


def sizes_of(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The keys of the `model` section that the tensors' shapes say."""
    sizes: dict[str, Any] = {}
    norm, conv, hidden = (
        tensors.get(name) for name in ("norm.weight", "patch_embed.proj.weight", "blocks.0.mlp.fc1.weight")
    )
    if norm is not None and norm.ndim == 1 and len(norm):
        sizes |= {"embed_dim": len(norm), "num_heads": max(1, len(norm) // _CHANNELS_PER_HEAD)}
    if conv is not None and conv.ndim == 5:
        sizes |= {"in_channels": conv.shape[1], "patch_size": tuple(conv.shape[2:])}
    if hidden is not None and hidden.ndim == 2 and hidden.shape[1]:
        sizes["mlp_ratio"] = hidden.shape[0] / hidden.shape[1]
    return sizes


def depth_of(tensors: Iterable[str]) -> int:
    """Number of blocks, by the highest number in the names."""
    return max((int(match[1]) + 1 for match in map(_BLOCK.match, tensors) if match), default=0)


def _volume_size(file: EncoderFile, known: tuple[str, Size] | None, patch_size: tuple[int, int, int]) -> Size:
    """The volume whose grid the position table is for."""
    table = file.tensors.get("pos_embed")
    if known is None and (table is None or table.ndim != 3):
        return PUBLISHED.volume_size  # `_check_complete` tells what is wrong with it
    num_patches = 0 if table is None else table.shape[1] - 1
    edge = round(num_patches ** (1 / 3))
    if known is None and edge**3 != num_patches:
        raise CheckpointError(
            f"{file.path}: pos_embed is for {num_patches} patches, and their grid cannot be told from it; "
            f'give it, as in load_encoder(path, model={{"volume_size": (96, 96, 48)}})'
        )
    grid = known[1] if known else (edge, edge, edge)
    x, y, z = (patches * voxels for patches, voxels in zip(grid, patch_size, strict=True))
    return x, y, z


def _validated(tree: Mapping[str, Any], file: EncoderFile) -> ModelRecipe:
    try:
        return _adapter().validate_python(dict(tree))
    except ValidationError as error:
        _, message = describe(error, ModelRecipe)
        raise ConfigError(f"{file.path}: model.{message}") from error


@cache
def _adapter() -> TypeAdapter[ModelRecipe]:
    return TypeAdapter(ModelRecipe)


def _check_complete(file: EncoderFile, tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    lacking = lacking_in(tensors, own)
    lacking += [
        f"{name} is of {tensors[name].dtype}" for name in own if name in tensors and not _is_weight(tensors[name])
    ]
    if lacking:
        raise CheckpointError(
            f"{file.path}: {len(lacking)} of the encoder's {len(own)} tensors are absent or do not fit: "
            f"{listed(lacking, '; ')}; take a file of a whole 3D encoder (model.init takes one of blocks alone), "
            f"with model.windows as it was trained"
        )


def _is_weight(tensor: Tensor) -> bool:
    return tensor.dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def lacking_in(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """Tensors of a model that others lack or have in another shape, in words."""
    return [
        f"{name} is {tuple(tensors[name].shape) if name in tensors else 'absent'}, not {tuple(value.shape)}"
        for name, value in own.items()
        if name not in tensors or tensors[name].shape != value.shape
    ]


def listed(names: Sequence[str], separator: str = ", ") -> str:
    """The first twenty names, and how many more there are."""
    more = len(names) - _NAMED
    return separator.join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
