"""simcrop eval probe"""

from simcrop_cli.evaluating import evaluate
from simcrop_cli.options import Config, EvaluationFolder, FeatureTable, Labels, OptionalCheckpoint, Overrides, Protocol


def probe(
    config: Config,
    checkpoint: OptionalCheckpoint = None,
    labels: Labels = None,
    protocol: Protocol = None,
    features: FeatureTable = None,
    out: EvaluationFolder = None,
    overrides: Overrides = None,
) -> None:
    """Measure an encoder, as it is, by a linear probe that reads the labels from its features.

    Example: simcrop eval probe pretrain.yaml --checkpoint runs/pretrain --labels 10

    Without --checkpoint an untrained encoder is measured; --set probe.features=voxels measures the voxels alone.
    --features takes those of any other model, with the same patients, choices and intervals.
    """
    options = {"labels.percent": labels, "labels.protocol": protocol, "labels.features": features}
    evaluate("probe", config, checkpoint, out, overrides, options)
