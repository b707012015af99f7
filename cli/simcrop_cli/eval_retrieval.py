"""simcrop eval retrieval"""

from simcrop_cli.evaluating import evaluation_folder
from simcrop_cli.options import Checkpoint, Config, EvaluationFolder, Overrides
from simcrop_cli.signals import stop


def retrieval(
    config: Config, checkpoint: Checkpoint, out: EvaluationFolder = None, overrides: Overrides = None
) -> None:
    """How often the volume that a report describes is found among all held-out ones, and the report of a volume.

    Example: simcrop eval retrieval pretrain.yaml --checkpoint runs/pretrain
    """
    from simcrop.adapters.config.settings import load_config
    from simcrop.compose.evaluation import retrieval as evaluation

    settings = load_config(config, overrides or [])
    folder = evaluation_folder(out, settings.name, "retrieval")
    evaluation.retrieval(settings, checkpoint=checkpoint, out=folder, should_stop=stop)
