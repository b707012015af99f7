"""simcrop eval finetune"""

from simcrop_cli.evaluating import evaluation_folder, label_settings
from simcrop_cli.options import Config, EvaluationFolder, Labels, OptionalCheckpoint, Overrides, Protocol
from simcrop_cli.signals import stop


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
    settings = label_settings(config, labels, protocol, overrides)
    from simcrop.compose.evaluation import finetune as fine_tuning

    folder = evaluation_folder(out, settings.name, "finetune")
    fine_tuning.finetune(settings, checkpoint=checkpoint, out=folder, should_stop=stop)
