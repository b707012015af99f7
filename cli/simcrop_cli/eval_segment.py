"""simcrop eval segment"""

from simcrop_cli.evaluating import evaluation_folder, label_settings
from simcrop_cli.options import Config, EvaluationFolder, Labels, OptionalCheckpoint, Overrides
from simcrop_cli.signals import stop


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
    settings = label_settings(config, labels, None, overrides)
    from simcrop.compose.evaluation import segment as segmentation

    folder = evaluation_folder(out, settings.name, "segment")
    segmentation.segment(settings, checkpoint=checkpoint, out=folder, should_stop=stop)
