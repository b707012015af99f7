"""simcrop eval probe"""

from simcrop_cli.evaluating import evaluation_folder, label_settings
from simcrop_cli.options import Config, EvaluationFolder, Labels, OptionalCheckpoint, Overrides, Protocol
from simcrop_cli.signals import stop


def probe(
    config: Config,
    checkpoint: OptionalCheckpoint = None,
    labels: Labels = None,
    protocol: Protocol = None,
    out: EvaluationFolder = None,
    overrides: Overrides = None,
) -> None:
    """What a linear probe reads from the features of an encoder that stays as it is.

    Example: simcrop eval probe pretrain.yaml --checkpoint runs/pretrain --labels 10

    Without --checkpoint an untrained encoder is measured; --set probe.features=voxels measures the voxels alone.
    """
    settings = label_settings(config, labels, protocol, overrides)
    from simcrop.compose.evaluation import probe as probing

    folder = evaluation_folder(out, settings.name, "probe")
    probing.probe(settings, checkpoint=checkpoint, out=folder, should_stop=stop)
