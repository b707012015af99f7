"""simcrop eval retrieval"""

from simcrop_cli.evaluating import evaluate
from simcrop_cli.options import (
    Config,
    Distinct,
    EvaluationFolder,
    FeatureTable,
    OptionalCheckpoint,
    Overrides,
    RetrievalProtocol,
    TextFeatureTable,
    Top,
)


def retrieval(
    config: Config,
    checkpoint: OptionalCheckpoint = None,
    protocol: RetrievalProtocol = None,
    distinct: Distinct = None,
    top: Top = None,
    features: FeatureTable = None,
    text_features: TextFeatureTable = None,
    out: EvaluationFolder = None,
    overrides: Overrides = None,
) -> None:
    """Measure how often a report finds its volume among all held-out ones, and a volume its report.

    Example: simcrop eval retrieval pretrain.yaml --checkpoint runs/pretrain --top 5,10,50,100

    --features and --text-features take those of any other model, in place of a checkpoint, with the same studies and
    intervals.
    """
    options = {
        "retrieval.protocol": protocol,
        "retrieval.distinct": distinct,
        "retrieval.top": None if top is None else f"[{top}]",
        "retrieval.features": features,
        "retrieval.text_features": text_features,
    }
    evaluate("retrieval", config, checkpoint, out, overrides, options)
