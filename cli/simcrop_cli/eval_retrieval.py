"""simcrop eval retrieval"""

from simcrop_cli.evaluating import evaluate
from simcrop_cli.options import Checkpoint, Config, EvaluationFolder, Overrides


def retrieval(
    config: Config, checkpoint: Checkpoint, out: EvaluationFolder = None, overrides: Overrides = None
) -> None:
    """How often the volume that a report describes is found among all held-out ones, and the report of a volume.

    Example: simcrop eval retrieval pretrain.yaml --checkpoint runs/pretrain
    """
    evaluate("retrieval", config, checkpoint, out, overrides)
