"""simcrop eval zeroshot"""

from simcrop_cli.evaluating import evaluate
from simcrop_cli.options import Checkpoint, Config, EvaluationFolder, Overrides, Prompts


def zeroshot(
    config: Config,
    checkpoint: Checkpoint,
    prompts: Prompts = None,
    out: EvaluationFolder = None,
    overrides: Overrides = None,
) -> None:
    """Read findings off volumes by sentences that assert or deny them, with no label learned from.

    Example: simcrop eval zeroshot pretrain.yaml --checkpoint runs/pretrain

    --prompts templates asks by built-in sentences, a path by those of a file, and configs/prompts/ct_rate_short.yaml by
    one of the lists that come with simcrop.
    """
    evaluate("zeroshot", config, checkpoint, out, overrides, {"zeroshot.prompts": prompts})
