"""simcrop eval segment"""

from simcrop_cli.evaluating import evaluate
from simcrop_cli.options import Config, EvaluationFolder, Labels, OptionalCheckpoint, Overrides


def segment(
    config: Config,
    checkpoint: OptionalCheckpoint = None,
    labels: Labels = None,
    out: EvaluationFolder = None,
    overrides: Overrides = None,
) -> None:
    """Fine-tune an encoder to segment organs, and measure it on held-out studies.

    Example: simcrop eval segment configs/segment.yaml --checkpoint runs/pretrain --labels 10

    Without --checkpoint it is trained from scratch; the folder of an earlier segmentation is measured again instead.
    """
    evaluate("segment", config, checkpoint, out, overrides, {"labels.percent": labels})
