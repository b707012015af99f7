"""Measurement of a trained model on held-out studies at the end of a run (docs/method.md, sections 4 and 9)."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from simcrop.adapters.config.run import EvaluationSettings
from simcrop.adapters.evaluation.output import without_nan
from simcrop.adapters.evaluation.run.summary_probe import label_values, probe_areas, split_studies
from simcrop.adapters.evaluation.tables import results_console, results_table
from simcrop.adapters.system.files import replace_text
from simcrop.adapters.system.memory import peak_memory
from simcrop.adapters.system.progress import counted
from simcrop.core.data.held_out import HeldOutStudies, asserts_finding
from simcrop.core.data.study import Study
from simcrop.core.evaluation.features import VolumeEncoder, model_features, probe_features, voxel_features
from simcrop.core.evaluation.grounding import summarize
from simcrop.core.evaluation.looking import NUMBERS, ComparedMap, Comparison, looking_numbers, mean_unit_patches
from simcrop.core.evaluation.metrics import mean_present
from simcrop.core.evaluation.prototypes import prototype_scores, read_prototypes
from simcrop.core.evaluation.sentence_maps import placed_sentences
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.model.patches import AnyVolume
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.recipe import TERMS

PROBES = {
    "probe_auroc": "tokens",
    "probe_auroc_prototypes": "prototypes",
    "probe_auroc_untrained": "untrained",
    "probe_auroc_voxels": "voxels",
}
"""Key of summary.json -> name of the features that the probe reads."""
_COLUMNS = 100
"""Most columns of the printed table."""


def evaluate_run(
    model: SimCroP,
    untrained: VolumeEncoder,
    held_out: HeldOutStudies,
    settings: EvaluationSettings,
    *,
    reference: Iterable[AnyVolume],
    progress: Callable[[int, int], None],
    train: Sequence[Study] = (),
    seed: int = 0,
) -> dict[str, Any]:
    """The part of summary.json that is measured at the end of a run.

    Args:
        model: trained, on the device that shall compute; its mode is restored.
        untrained: encoder of the same recipe as it was initialised, on the same device.
        held_out: studies never seen in training; may be empty.
        settings: how many studies, and how many at a time.
        reference: batches of training volumes, for the maps of sentences without a look; may be empty.
        progress: told (studies done, studies in all).
        train: studies learned from, whose reports give the prototypes; without any these are not probed.
        seed: of the prototypes.

    Returns:
        `grounding_*` and `probe_*` keys; None for what could not be measured. Chance rates stand beside hit rates.
    """
    studies = held_out.studies[: settings.max_studies]
    was_training = model.training
    model.eval()
    measured: list[dict[str, Tensor]] = []
    try:
        centres = read_prototypes(model, held_out, train, seed) if model.matches_sentences else None
        comparison = _comparison(model, held_out, studies, reference)
        for part, volume in held_out.batches(studies, settings.batch_size):
            measured.append(_measure(model, untrained, comparison, part, volume, centres))
            progress(sum(len(each["voxels"]) for each in measured), len(studies))
    finally:
        model.train(was_training)
    names = measured[0] if measured else ()
    features = {name: torch.cat([each[name] for each in measured]) for name in names}
    probes = _probes(features, studies, held_out.label_names, settings)
    grounding = _grounding([*comparison.results().values()])
    return without_nan({"num_held_out": len(studies), **grounding, **probes})


@torch.no_grad()
def _comparison(
    model: SimCroP, held_out: HeldOutStudies, studies: Sequence[Study], reference: Iterable[AnyVolume]
) -> Comparison:
    """Ready for the volumes; without sentences for a model that has no maps."""
    if not model.matches_sentences:
        return Comparison(model, held_out, [], None)
    device = model.encoder.cls_token.device
    sentences = placed_sentences(model, held_out, studies, asserts_finding)
    usual = mean_unit_patches(model.patch_features(volume.to(device)) for volume in reference) if sentences else None
    return Comparison(model, held_out, sentences, usual)


@torch.no_grad()
def _measure(
    model: SimCroP,
    untrained: VolumeEncoder,
    comparison: Comparison,
    studies: Sequence[Study],
    volume: AnyVolume,
    centres: Tensor | None,
) -> dict[str, Tensor]:
    """Features of a batch for each probe, each [studies, F] on the CPU; the maps go into the comparison."""
    volume = volume.to(model.encoder.cls_token.device)
    trained, patches = model_features(model, volume)
    features = {
        "tokens": trained,
        "untrained": probe_features(untrained, volume),
        "voxels": voxel_features(volume, model.recipe.window),
    }
    if patches is not None:
        comparison.add(studies, patches)
        if centres is not None:
            features["prototypes"] = prototype_scores(patches, centres)
    return {name: each.cpu() for name, each in features.items()}


def _grounding(compared: Sequence[ComparedMap]) -> dict[str, Any]:
    result = summarize([each.pointing.finding for each in compared], looking_numbers(compared), NUMBERS)
    return {
        **{f"grounding_{name}": value for name, value in result.mean.items()},
        "grounding_num_sentences": len(compared),
        "grounding_findings": result.findings,
    }


def _probes(
    features: Mapping[str, Tensor], studies: Sequence[Study], names: Sequence[str], settings: EvaluationSettings
) -> dict[str, Any]:
    split = split_studies(studies, num_labelled=settings.probe_labelled)
    truth = label_values(studies, names)
    unknown = [math.nan] * len(names)
    columns = {
        key: probe_areas(features[name], truth, split) if name in features else unknown for key, name in PROBES.items()
    }
    labels = {
        name: {key: values[index] for key, values in columns.items()}
        for index, name in enumerate(names)
        if studies and not math.isnan(columns["probe_auroc"][index])
    }
    return {
        **{key: mean_present(values) for key, values in columns.items()},
        "probe_num_labelled": len(split.labelled),
        "probe_num_test": len(split.test),
        "probe_labels": labels,
        "probe_note": _shortage(len(split.labelled), len(split.test), settings),
    }


def _shortage(num_labelled: int, num_test: int, settings: EvaluationSettings) -> str | None:
    if num_labelled >= settings.probe_labelled and num_test >= settings.probe_test:
        return None
    return (
        f"probe on {num_labelled} labelled and {num_test} test studies instead of {settings.probe_labelled} and at "
        f"least {settings.probe_test}: the data set holds out no more"
    )


def print_summary(summary: Mapping[str, Any], console: Console) -> None:
    """Print a summary as people read it: losses in a line, then one row a finding and one for their mean."""
    for prefix, name in (("loss", "last training"), ("validation_loss", "held-out")):
        if summary.get(prefix) is not None:
            terms = [f"{t} {summary[f'{prefix}_{t}']:.3f}" for t in TERMS if summary.get(f"{prefix}_{t}") is not None]
            console.print(f"{name} loss {summary[prefix]:.3f} ({', '.join(terms)})", highlight=False)
    heads = (
        "n",
        "hit\nrate",
        "chance",
        "blind",
        "AUC",
        "evid.\nAUC",
        "tokens",
        "proto-\ntypes",
        "un-\ntrained",
        "voxels",
    )
    table = results_table(f"{summary['num_held_out']} held-out studies", "finding", heads, pad=False)
    table.collapse_padding = True
    grounded, probed = summary["grounding_findings"], summary["probe_labels"]
    keys = ("num_sentences", "hit_rate", "chance", "hit_rate_blind", "auc", "auc_evidence", *PROBES)
    for name in sorted({*grounded, *probed}):
        found = {**grounded.get(name, {}), **probed.get(name, {})}
        table.add_row(name, *(_cell(found.get(key)) for key in keys))
    table.add_section()
    table.add_row("mean over findings", *(_cell(summary[key if key in PROBES else f"grounding_{key}"]) for key in keys))
    table.caption = (
        "n: sentences; hit rate: their best patch overlaps the true place; chance: a random one of tissue\n"
        "blind: hit rate of the finding's mean place in other patients, told without a look\n"
        "AUC: of the map, among patches of tissue (chance 0.5)\n"
        "evid. AUC: of the map minus the sentence's mean map over training volumes: what looking adds\n"
        "tokens: their mean; prototypes: scores for typical sentences; untrained, voxels: to compare with;\n"
        "AUROC of a linear probe on each "
        f"({summary['probe_num_labelled']} labelled, {summary['probe_num_test']} test studies)"
    )
    console.print(table, width=min(_COLUMNS, console.width))
    if summary["probe_note"]:
        console.print(summary["probe_note"], highlight=False)


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def write_summary(
    out: Path,
    model: SimCroP,
    untrained: VisionEncoder,
    held_out: HeldOutStudies,
    settings: EvaluationSettings,
    *,
    reference: Iterable[AnyVolume],
    seconds: float,
    train: Sequence[Study],
    seed: int,
) -> None:
    """Measure a trained model, write `summary.json` and print it.

    Args:
        out: run folder with the finished `metrics.jsonl`.
        model: trained, on its device.
        untrained: encoder as it was initialised, on the same device.
        held_out: studies never seen in training.
        settings: how many studies, how many at a time.
        reference: as for `evaluate_run`.
        seconds: wall time so far, data included; for a resumed run since its last start.
        train, seed: as for `evaluate_run`.
    """
    with counted("held-out studies measured") as progress:
        measured = evaluate_run(
            model, untrained, held_out, settings, reference=reference, progress=progress, train=train, seed=seed
        )
    costs = {"wall_time_s": round(seconds, 1), "peak_memory_mb": peak_memory_mb()}
    summary = last_losses(out / "metrics.jsonl") | measured | costs
    replace_text(out / "summary.json", json.dumps(summary, indent=1) + "\n")
    print_summary(summary, results_console())


def last_losses(metrics: Path) -> dict[str, Any]:
    """Step, losses and held-out losses of the last row; nothing where there is no row."""
    lines = metrics.read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[-1]) if lines else {}
    return {key: value for key, value in row.items() if key == "step" or "loss" in key}


def peak_memory_mb() -> dict[str, float]:
    """Most memory held so far, MB: of this process (`cpu`) and, where there is a GPU, of torch on it (`gpu`)."""
    held = peak_memory()
    peak = {} if held is None else {"cpu": round(held / 1e6, 1)}
    if torch.cuda.is_available():
        peak["gpu"] = round(torch.cuda.max_memory_allocated() / 1e6, 1)
    return peak
