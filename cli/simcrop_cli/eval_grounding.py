"""simcrop eval grounding"""

from simcrop_cli.evaluating import evaluation_folder
from simcrop_cli.options import Checkpoint, Config, EvaluationFolder, Overrides
from simcrop_cli.signals import stop


def grounding(
    config: Config, checkpoint: Checkpoint, out: EvaluationFolder = None, overrides: Overrides = None
) -> None:
    """Whether a model finds the places that sentences speak of: pointing game, and overlap of map and mask.

    Example: simcrop eval grounding pretrain.yaml --checkpoint runs/pretrain

    Masks lie in ground_truth/ beside the data, or in --set grounding.folder=FOLDER (docs/ground_truth.md).
    """
    from simcrop.adapters.config.settings import load_config
    from simcrop.compose.evaluation import grounding as evaluation

    settings = load_config(config, overrides or [])
    folder = evaluation_folder(out, settings.name, "grounding")
    evaluation.grounding(settings, checkpoint=checkpoint, out=folder, should_stop=stop)
