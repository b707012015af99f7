"""Groups of what a file of weights holds beside a vision encoder, each with the reason why it is left out.

The names are those of simcrop itself, of masked autoencoders (arXiv 2111.06377), of the authors' SimCroP, and of their
extension ASAP, as its public pre-training code spells them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from simcrop.core.recipe import ModelRecipe

_PARTS = {
    "decoder of volumes": (
        *("decoder", "decoder_embed", "decoder_pos_embed", "decoder_blocks", "decoder_norm", "decoder_pred"),
        *("decoder_pred_layer", "mask_token"),
    ),
    "text encoder (text_encoder.source names one)": ("text_encoder", "bert_encoder"),
    "fusion and decoder of reports": (
        *("fusion", "report_head", "text_decoder"),
        *("bert_decoder", "bert_feature_proj", "bert_mlp", "bert_topk_mlp"),
    ),
    "comparison of sentences with patches": (
        *("image_head", "text_head", "local", "local_text_head", "scan_head", "alignment", "late_interaction"),
        *("finding_align_img_mlp", "align_text_mlp"),
    ),
    "head for shares of organs": (
        "organ_shares",
        *("decoder_injection_pred_layer_0", "decoder_injection_pred_layer_1"),
        *("decoder_mask_pred_layer_0", "decoder_mask_pred_layer_1"),
    ),
    "head for the number of patches of a sentence": ("regression_head",),
    "head of a classifier": ("head", "fc_norm"),
    "state of a training": ("args", "optimizer", "epoch", "scaler"),
}
"""Reason -> first parts of the names that it is given for."""
_REASONS = {part: reason for reason, parts in _PARTS.items() for part in parts}
_UNKNOWN = "unknown to simcrop"


@dataclass(frozen=True)
class LeftOut:
    """Names of a file that nothing was taken from.

    Attributes:
        reason: why.
        names: of tensors, or of what lies beside them.
    """

    reason: str
    names: tuple[str, ...]

    @property
    def is_known(self) -> bool:
        """Whether simcrop knows what it is."""
        return self.reason != _UNKNOWN

    @property
    def listed(self) -> list[str]:
        """Each part of several tensors with their number, each other name in full; of what is unknown every name."""
        if not self.is_known:
            return list(self.names)
        parts: dict[str, list[str]] = {}
        for name in self.names:
            parts.setdefault(name.partition(".")[0], []).append(name)
        return [names[0] if len(names) == 1 else f"{part} ({len(names)})" for part, names in parts.items()]

    def __str__(self) -> str:
        return f"left out, {self.reason}: {', '.join(self.listed)}"


def left_out(names: Iterable[str]) -> list[LeftOut]:
    """Group what does not belong to a vision encoder.

    Args:
        names: of tensors, without prefix, and of what lies beside them in their file.

    Returns:
        Groups in the order of their first names, what is unknown last; every name is in one of them.
    """
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(_REASONS.get(name.partition(".")[0], _UNKNOWN), []).append(name)
    groups = [LeftOut(reason, tuple(group)) for reason, group in found.items()]
    return sorted(groups, key=lambda group: not group.is_known)


def table_left_out(recipe: ModelRecipe, *, is_same: bool) -> LeftOut:
    """A position table, which the model always makes by itself, for its own grid.

    Args:
        recipe: of the model.
        is_same: whether the file's is the same.
    """
    own = "the same as the model's" if is_same else "not the model's"
    kind = f"{recipe.position_embedding} for a grid of {recipe.grid}"
    return LeftOut(f"position table, {own}, which is {kind}", ("pos_embed",))
