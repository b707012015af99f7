"""simcrop eval zeroshot"""

from simcrop_cli.evaluating import evaluation_folder
from simcrop_cli.options import Checkpoint, Config, EvaluationFolder, Overrides
from simcrop_cli.signals import stop


def zeroshot(config: Config, checkpoint: Checkpoint, out: EvaluationFolder = None, overrides: Overrides = None) -> None:
    """Which findings a model reads off a volume by sentences that assert or deny them, with no label learned from.

    Example: simcrop eval zeroshot pretrain.yaml --checkpoint runs/pretrain

    --set zeroshot.prompts=templates asks by built-in sentences, a path there by those of a file.
    """
    from simcrop.adapters.config.settings import load_config
    from simcrop.compose.evaluation import zeroshot as evaluation

    settings = load_config(config, overrides or [])
    folder = evaluation_folder(out, settings.name, "zeroshot")
    evaluation.zeroshot(settings, checkpoint=checkpoint, out=folder, should_stop=stop)
