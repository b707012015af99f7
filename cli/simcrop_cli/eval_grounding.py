"""simcrop eval grounding"""

from simcrop_cli.evaluating import evaluate
from simcrop_cli.options import Checkpoint, Config, EvaluationFolder, Overrides


def grounding(
    config: Config, checkpoint: Checkpoint, out: EvaluationFolder = None, overrides: Overrides = None
) -> None:
    """Measure whether a model finds the places that sentences speak of: pointing game, overlap of map and mask.

    Example: simcrop eval grounding pretrain.yaml --checkpoint runs/pretrain

    Masks lie in ground_truth/ beside the data, or in --set grounding.folder=FOLDER (docs/ground_truth.md).
    """
    evaluate("grounding", config, checkpoint, out, overrides)
