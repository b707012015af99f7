"""simcrop eval knn"""

from simcrop_cli.evaluating import evaluation_folder, label_settings
from simcrop_cli.options import Config, EvaluationFolder, Labels, OptionalCheckpoint, Overrides, Protocol
from simcrop_cli.signals import stop


def knn(
    config: Config,
    checkpoint: OptionalCheckpoint = None,
    labels: Labels = None,
    protocol: Protocol = None,
    out: EvaluationFolder = None,
    overrides: Overrides = None,
) -> None:
    """What the nearest labelled studies have, by the features of an encoder that stays as it is.

    Example: simcrop eval knn pretrain.yaml --checkpoint runs/pretrain --labels 10

    Without --checkpoint an untrained encoder is measured; --set knn.features=voxels measures the voxels alone.
    """
    settings = label_settings(config, labels, protocol, overrides)
    from simcrop.compose.evaluation import probe as probing

    folder = evaluation_folder(out, settings.name, "knn")
    probing.knn(settings, checkpoint=checkpoint, out=folder, should_stop=stop)
