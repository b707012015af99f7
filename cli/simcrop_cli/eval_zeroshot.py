"""simcrop eval zeroshot"""

from simcrop_cli.evaluating import evaluate
from simcrop_cli.options import Checkpoint, Config, EvaluationFolder, Overrides


def zeroshot(config: Config, checkpoint: Checkpoint, out: EvaluationFolder = None, overrides: Overrides = None) -> None:
    """Read findings off volumes by sentences that assert or deny them, with no label learned from.

    Example: simcrop eval zeroshot pretrain.yaml --checkpoint runs/pretrain

    --set zeroshot.prompts=templates asks by built-in sentences, a path there by those of a file.
    """
    evaluate("zeroshot", config, checkpoint, out, overrides)
