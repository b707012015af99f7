"""simcrop eval retrieval"""

from simcrop_cli.evaluating import evaluate
from simcrop_cli.options import Config, EvaluationFolder, FeatureTable, OptionalCheckpoint, Overrides, TextFeatureTable


def retrieval(
    config: Config,
    checkpoint: OptionalCheckpoint = None,
    features: FeatureTable = None,
    text_features: TextFeatureTable = None,
    out: EvaluationFolder = None,
    overrides: Overrides = None,
) -> None:
    """Measure how often a report finds its volume among all held-out ones, and a volume its report.

    Example: simcrop eval retrieval pretrain.yaml --checkpoint runs/pretrain

    --features and --text-features take those of any other model, in place of a checkpoint, with the same studies and
    intervals.
    """
    options = {"retrieval.features": features, "retrieval.text_features": text_features}
    evaluate("retrieval", config, checkpoint, out, overrides, options)
