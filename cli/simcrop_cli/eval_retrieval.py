"""simcrop eval retrieval"""

from simcrop_cli.evaluating import evaluate
from simcrop_cli.options import Checkpoint, Config, EvaluationFolder, Overrides


def retrieval(
    config: Config, checkpoint: Checkpoint, out: EvaluationFolder = None, overrides: Overrides = None
) -> None:
    """Measure how often a report finds its volume among all held-out ones, and a volume its report.

    Example: simcrop eval retrieval pretrain.yaml --checkpoint runs/pretrain
    """
    evaluate("retrieval", config, checkpoint, out, overrides)
