"""simcrop eval finetune"""

from simcrop_cli.evaluating import evaluate
from simcrop_cli.options import Config, EvaluationFolder, Labels, OptionalCheckpoint, Overrides, Protocol


def finetune(
    config: Config,
    checkpoint: OptionalCheckpoint = None,
    labels: Labels = None,
    protocol: Protocol = None,
    out: EvaluationFolder = None,
    overrides: Overrides = None,
) -> None:
    """Train encoder and head on labelled volumes; goes on by itself where it was stopped or killed.

    Example: simcrop eval finetune pretrain.yaml --checkpoint runs/pretrain --labels 10

    Without --checkpoint the same is trained from scratch.
    """
    options = {"labels.percent": labels, "labels.protocol": protocol}
    evaluate("finetune", config, checkpoint, out, overrides, options)
