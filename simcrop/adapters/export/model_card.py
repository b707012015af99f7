"""The model card of an export: README.md with the front matter that the hub reads."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.export.card_usage import contents, usage
from simcrop.adapters.export.formats import Format
from simcrop.adapters.export.results import RunResults
from simcrop.adapters.sources.base import Source
from simcrop.adapters.sources.registry import SOURCES
from simcrop.core.recipe import TERMS, ModelRecipe

_METHOD = "[SimCroP](https://arxiv.org/abs/2509.08311) (Wang et al., MICCAI 2025)"
_MOST_METRICS = 24
_LIBRARY = {"monai": "monai", "monai-bundle": "monai", "transformers": "transformers"}
"""Of the formats that simcrop does not read."""
_HUB_LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]*")


@dataclass(frozen=True)
class CardFacts:
    """Facts that a model card tells.

    Attributes:
        name: of the model.
        kind: format of the export.
        where: folder or hub id that the code of the card loads from.
        recipe: of the encoder.
        num_parameters: of the encoder.
        step: updates behind the weights, where known.
        sha256: of the checkpoint's weights.
        licence: as chosen for this export.
        config: of the run, where there is one.
        manifest: of the checkpoint, where there is one.
        results: what was measured on these weights.
        class_token: monai: how much leaving out the class token changes the tokens of a phantom chest, relative.
        has_text_side: transformers: whether it compares sentences with patches.
    """

    name: str
    kind: Format
    where: str
    recipe: ModelRecipe
    num_parameters: int
    step: int | None
    sha256: str
    licence: str | None = None
    config: RunConfig | None = None
    manifest: Mapping[str, Any] = field(default_factory=dict[str, Any])
    results: RunResults = field(default_factory=lambda: RunResults({}, {}))
    class_token: float | None = None
    has_text_side: bool = False

    @property
    def classifier(self) -> Mapping[str, Any] | None:
        """Head of a fine-tuned classifier, by its manifest."""
        return self.manifest.get("classifier")

    @property
    def has_other_start(self) -> bool:
        """Whether the weights that the training began with may have been trained on other data."""
        if self.classifier is not None and self.manifest.get("settings", {}).get("--checkpoint") is not None:
            return True
        return self.config is not None and self.config.model.init != "scratch"


def model_card(facts: CardFacts) -> str:
    """The text of README.md."""
    sections = [
        _front_matter(facts),
        f"# {facts.name}\n\n{_what_it_is(facts)}",
        f"## How to load it\n\n{usage(facts.kind, facts.where, facts.recipe, facts.class_token, facts.has_text_side)}",
        f"## Data\n\n{_data(facts)}",
        f"## Recipe\n\n{_table(('key', 'value'), _recipe_rows(facts))}",
        f"## Measured\n\n{_measured(facts)}",
        f"## Intended use and limits\n\n{_limits()}",
        f"## Licence\n\n{_licence(facts)}",
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(facts: CardFacts) -> str:
    from huggingface_hub import ModelCardData

    licence = facts.licence or "unspecified"
    known = facts.licence is not None and _HUB_LICENCE.fullmatch(licence) is not None
    data = ModelCardData(
        license=licence if known else "other",
        license_name=None if known else re.sub(r"[^a-z0-9.]+", "-", licence.lower()).strip("-"),
        library_name=_LIBRARY.get(facts.kind, "simcrop"),
        pipeline_tag="image-feature-extraction",
        tags=["chest-ct", "3d-vision-transformer", "medical-imaging", "radiology-reports", "simcrop"],
    )
    return f"---\n{data.to_yaml()}\n---"


def _what_it_is(facts: CardFacts) -> str:
    x, y, z = facts.recipe.volume_size
    content = contents(facts.kind, facts.has_text_side)
    training = "from a file that does not say how it was trained"
    if facts.classifier is not None:
        training = _fine_tuning(facts, facts.classifier["labels"])
        content += " The head of the classifier was left out."
    elif facts.config is not None:
        training = (
            f"pre-trained for {facts.step} updates by the method of {_METHOD} with simcrop, an independent "
            f"implementation of it"
        )
    return (
        f"A 3D vision transformer for chest CT volumes of {x} x {y} x {z} voxels ({facts.num_parameters:,} "
        f"parameters), {training}. {content}\n\nWeights exported from sha256 `{facts.sha256}`."
    )


def _fine_tuning(facts: CardFacts, labels: Sequence[str]) -> str:
    sha256 = facts.manifest.get("settings", {}).get("--checkpoint")
    start = "from other weights" if facts.has_other_start else "from scratch"
    return (
        f"fine-tuned {start}{f' (sha256 `{sha256}`)' if sha256 else ''} for {facts.step} updates to tell "
        f"{', '.join(labels)}, with simcrop, an independent implementation of {_METHOD}"
    )


def _data(facts: CardFacts) -> str:
    if facts.config is None:
        return "Not recorded: the weights came from a file that does not say what they were trained on."
    data = facts.config.data
    fingerprint = facts.manifest.get("data_fingerprint")
    source = SOURCES.get(data.source, Source).described(data)
    lines = [f"Source: {source}.", f"Fingerprint of studies, reports and split: `{fingerprint}`."]
    for content in facts.results.evaluations.values():
        about = content.get("data", {})
        if about.get("fingerprint") == fingerprint and fingerprint is not None:
            lines.append(f"Studies: {about.get('num_train')} to train on, {about.get('num_held_out')} held out.")
            break
    if facts.has_other_start:
        lines.append("What the weights that the training began with had learned from is not recorded.")
    return "\n".join(lines)


def _recipe_rows(facts: CardFacts) -> Iterator[tuple[str, object]]:
    recipe, config = facts.recipe, facts.config
    yield "volume, voxels along right, front, head", _times(recipe.volume_size)
    yield "spacing, mm", _times(recipe.spacing_mm)
    yield "window, HU", f"{recipe.window[0]:g} to {recipe.window[1]:g}, mapped to [-1, 1]"
    if recipe.windows is not None:
        windows = "; ".join(f"{low:g} to {high:g}" for low, high in recipe.windows)
        yield "windows that the encoder reads, HU", f"{windows}; each a channel of the patch embedding"
    yield "patch, voxels", _times(recipe.patch_size)
    yield "width, blocks, heads", f"{recipe.embed_dim}, {recipe.depth}, {recipe.num_heads}"
    yield "position embedding", recipe.position_embedding
    if config is None:
        return
    yield from _fine_tuning_rows(facts, config) if facts.classifier else _pre_training_rows(recipe, config)
    for name, version in facts.manifest.get("versions", {}).items():
        yield f"trained with {name}", version
    yield "commit of simcrop", facts.manifest.get("git_commit")


def _fine_tuning_rows(facts: CardFacts, config: RunConfig) -> Iterator[tuple[str, object]]:
    settings = config.finetune
    yield "preset, seed", f"{facts.recipe.preset}, {config.seed}"
    yield "share of labels", f"{config.labels.percent:g} %"
    yield "steps, batch", f"{settings.steps} planned, {settings.batch_size} studies"
    yield "optimizer, peak rate", f"{settings.optimizer}, {settings.lr:g}"


def _pre_training_rows(recipe: ModelRecipe, config: RunConfig) -> Iterator[tuple[str, object]]:
    objectives, train, text = config.objectives, config.train, config.text_encoder
    yield "recipe, preset, seed", f"{config.recipe}, {recipe.preset}, {config.seed}"
    yield "mask ratio", f"{recipe.mask_ratio:g}"
    if recipe.local is not None and objectives.late_interaction.weight:
        yield "patch that sentences are compared with, voxels", _times(recipe.local)
    yield "weights of the objectives", ", ".join(f"{term} {getattr(objectives, term).weight:g}" for term in TERMS)
    yield "text encoder", f"{text.source}{' (frozen)' if text.is_frozen else ''}"
    if text.revision is not None:
        yield "its revision", text.revision
    batch = f"{train.batch_size} studies x {train.micro_batches(1)} a rank"
    if train.global_batch is not None:
        batch = f"{train.global_batch} studies over all ranks"
    yield "steps, batch", f"{train.steps} planned, {batch}"
    yield "optimizer, peak rate", f"{train.optimizer}, {train.lr:g}"


def _measured(facts: CardFacts) -> str:
    results, losses = facts.results, facts.manifest.get("metrics")
    parts: list[str] = []
    if losses and not results.summary:
        what = "Losses on held-out studies at this step"
        if facts.classifier is not None:
            what = "With its head, on the patients by whom the step was chosen"
        parts.append(f"{what}:\n\n{_metrics(losses, 'manifest.json')}")
    if results.summary:
        parts.append(
            "At the end of the run, on held-out studies:\n\n" + _metrics(results.summary, "summary.json of the run")
        )
    for name, content in results.evaluations.items():
        metrics = content.get("metrics", {})
        tested = metrics.get("num_test", metrics.get("num_studies", content.get("data", {}).get("num_held_out")))
        studies = "" if tested is None else f", on {tested} held-out studies"
        table = _metrics(metrics, "metrics.json of the evaluation")
        parts.append(f"`simcrop eval {content.get('task')}` ({name}){studies}:\n\n{table}")
        parts += [f"Note: {warning}" for warning in content.get("warnings") or ()]
    return "\n\n".join(parts) or "No measurement of these weights lay beside them at the export."


def _metrics(tree: Mapping[str, Any], file: str) -> str:
    """A table of the numbers in a tree: the uppermost level, and each further one that fits whole."""
    values = list(_numbers(tree))
    levels = sorted({name.count(".") for name, _ in values})
    shown = [level for level in levels if sum(name.count(".") <= level for name, _ in values) <= _MOST_METRICS]
    deepest = max([*levels[:1], *shown], default=0)
    rows = [(name, f"{value:.4g}") for name, value in values if name.count(".") <= deepest]
    left_out = len(values) - len(rows)
    return _table(("metric", "value"), rows) + (f"\n\n{left_out} more stand in {file}." if left_out else "")


def _numbers(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield f"{prefix}{key}", value


def _limits() -> str:
    return (
        "Research on chest CT: features for classification, retrieval, segmentation, and maps of where a sentence "
        "points. It is not a medical device, and nothing here has been validated for diagnosis or care. It has seen "
        "the scanners, patients and report style of its training data and no others; measure it on your own before "
        "you rely on it. Volumes have to be in HU, in RAS order and at the spacing above."
    )


def _licence(facts: CardFacts) -> str:
    chosen = "No licence was chosen when this was exported." if facts.licence is None else f"{facts.licence}."
    source = Source if facts.config is None or facts.has_other_start else SOURCES.get(facts.config.data.source, Source)
    text = "scratch" if facts.config is None or facts.classifier is not None else facts.config.text_encoder.source
    encoder = "" if text == "scratch" else f" The text encoder {text} has a licence of its own."
    has_code = facts.kind in ("transformers", "monai-bundle")
    code = " The code in this folder is under the Apache License 2.0 (LICENSE)." if has_code else ""
    return f"{chosen} {source.licence}{encoder}{code}"


def _times(values: Sequence[float]) -> str:
    return " x ".join(f"{value:g}" for value in values)


def _table(head: tuple[str, str], rows: Iterable[tuple[str, object]]) -> str:
    cells = [(str(name).replace("|", "\\|"), str(value).replace("|", "\\|")) for name, value in rows]
    lines = [f"| {head[0]} | {head[1]} |", "|---|---|", *(f"| {name} | {value} |" for name, value in cells)]
    return "\n".join(lines)
