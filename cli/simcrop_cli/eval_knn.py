"""simcrop eval knn"""

from simcrop_cli.evaluating import evaluate
from simcrop_cli.options import Config, EvaluationFolder, Labels, OptionalCheckpoint, Overrides, Protocol


def knn(
    config: Config,
    checkpoint: OptionalCheckpoint = None,
    labels: Labels = None,
    protocol: Protocol = None,
    out: EvaluationFolder = None,
    overrides: Overrides = None,
) -> None:
    """What the nearest labelled studies have, by the features of an encoder that stays as it is.

    Example: simcrop eval knn pretrain.yaml --checkpoint runs/pretrain --labels 10

    Without --checkpoint an untrained encoder is measured; --set knn.features=voxels measures the voxels alone.
    """
    evaluate("knn", config, checkpoint, out, overrides, labels=labels, protocol=protocol)
