"""A paragraph on how a model was trained, for the methods section of an article."""

from collections.abc import Mapping

from simcrop.adapters.config.run import RunConfig
from simcrop.core.recipe import TERMS, TrainRecipe

_NAMES = {
    "reconstruction": "reconstruction of masked patches",
    "report": "reconstruction of masked words",
    "alignment": "alignment of sentences with patches",
    "late_interaction": "late interaction of sentences with volumes",
    "organ_shares": "prediction of the shares of organs in visible patches",
}


def methods_text(
    config: RunConfig,
    *,
    num_train: int | None,
    num_held_out: int | None,
    versions: Mapping[str, str],
    commit: str | None,
) -> str:
    """The paragraph.

    Args:
        config: of the run.
        num_train, num_held_out: studies on either side, where they are known.
        versions: of what computed.
        commit: of simcrop, where it is known.
    """
    model, train, objectives = config.model, config.train, config.objectives
    size, spacing, patch = (_by(each) for each in (model.volume_size, model.spacing_mm, model.patch_size))
    windows = ", ".join(f"[{low:g}, {high:g}]" for low, high in model.input_windows)
    weights = ", ".join(
        f"{_NAMES.get(name, name.replace('_', ' '))} ({objectives.active[name].weight:g})"
        for name in TERMS
        if name in objectives.active
    )
    studies = "the studies" if num_train is None else f"{num_train} studies"
    held_out = "" if not num_held_out else f"; {num_held_out} studies of other patients were held out"
    built = f"simcrop {versions.get('simcrop', '')}" + (f", commit {commit[:12]}" if commit else "")
    sentences = [
        f"A 3D vision transformer ({model.depth} blocks, {model.embed_dim} channels, {model.num_heads} heads,",
        f"patches of {patch} voxels) was pre-trained by SimCroP (Wang et al., MICCAI 2025, arXiv 2509.08311; recipe",
        f"'{config.recipe}') as implemented in {built}, with PyTorch {versions.get('torch', '')}.",
        f"Volumes of {studies} (source: {config.data.source}) were resampled to {spacing} mm and cut to {size} voxels;",
        f"HU were windowed to {windows}{held_out}.",
        f"{100 * model.mask_ratio:.3g} % of the patches were hidden.",
        f"The loss was the weighted sum of {weights}.",
        f"{train.steps} updates were made with {train.optimizer} at a peak learning rate of {train.lr:g} after",
        f"{train.warmup_steps} warm-up steps, each on {_batch(train)},",
        f"with seed {config.seed}.",
    ]
    return " ".join(sentences)


def _batch(train: TrainRecipe) -> str:
    if train.global_batch is not None:
        return f"{train.global_batch} studies"
    return f"{train.studies_per_update(1)} studies of every process"


def _by(values: tuple[float, ...]) -> str:
    return " x ".join(f"{value:g}" for value in values)
