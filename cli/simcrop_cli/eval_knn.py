"""simcrop eval knn"""

from simcrop_cli.evaluating import evaluate
from simcrop_cli.options import Config, EvaluationFolder, FeatureTable, Labels, OptionalCheckpoint, Overrides, Protocol


def knn(
    config: Config,
    checkpoint: OptionalCheckpoint = None,
    labels: Labels = None,
    protocol: Protocol = None,
    features: FeatureTable = None,
    out: EvaluationFolder = None,
    overrides: Overrides = None,
) -> None:
    """Measure an encoder, as it is, by the labels of the studies whose features are nearest.

    Example: simcrop eval knn pretrain.yaml --checkpoint runs/pretrain --labels 10

    Without --checkpoint an untrained encoder is measured; --set knn.features=voxels measures the voxels alone.
    --features takes those of any other model, with the same patients, choices and intervals.
    """
    options = {"labels.percent": labels, "labels.protocol": protocol, "labels.features": features}
    evaluate("knn", config, checkpoint, out, overrides, options)
