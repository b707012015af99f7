"""`simcrop embed`: features of scans of one's own, which need neither reports nor labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from simcrop.adapters.applying.row_folder import RowFolder, RowFormat
from simcrop.adapters.system.ranks import choose_device
from simcrop.compose.applying import Applied, Computed, ScanOptions, Work, about_model, apply_to_scans, owned_part
from simcrop.compose.models import load_encoder
from simcrop.core.errors import ConfigError
from simcrop.core.evaluation.readouts import TokenReadOut, read_out, rows_and_tokens
from simcrop.core.recipe import TrainRecipe
from simcrop.core.training.learner import numerics


@dataclass(frozen=True)
class EmbedOptions:
    """Options of `embed`.

    Attributes:
        read_out: encoder, the mean of the patch tokens; max, their maximum beside it; layers, the means after lower
            blocks beside it. As `probe.features` has them.
        form: csv or parquet, a table with a row a scan; npz or h5, a file a scan.
        tokens: keep every token of a scan too; npz and h5 alone.
        scans: how they are taken.
    """

    read_out: TokenReadOut = "encoder"
    form: RowFormat = "csv"
    tokens: bool = False
    scans: ScanOptions = field(default_factory=ScanOptions)

    def __post_init__(self) -> None:
        if self.tokens and self.form not in ("npz", "h5"):
            raise ConfigError(f"--tokens: a table has no room for them, and --format is {self.form}; take npz or h5")


def embed(
    inputs: Sequence[Path],
    checkpoint: str,
    out: Path,
    options: EmbedOptions | None = None,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> Applied:
    """Write the features of every scan behind the inputs.

    What an earlier command has written to the same folder is kept, as long as a scan's file is as it was.

    Args:
        inputs: see `OwnScans`.
        checkpoint: what `load_encoder` takes.
        out: folder of the result; see `row_folder`.
        options: how.
        should_stop: asked after every batch.

    Raises:
        CheckpointError: no such model.
        ConfigError, DataError, Stopped: as `apply_to_scans` and `owned_part` do; or the folder holds features of
            another model.
    """
    options = options or EmbedOptions()
    with owned_part(out, options.scans):
        return _embed(inputs, checkpoint, out, options, should_stop)


def _embed(
    inputs: Sequence[Path], checkpoint: str, out: Path, options: EmbedOptions, should_stop: Callable[[], bool]
) -> Applied:
    encoder = load_encoder(checkpoint, choose_device(options.scans.device))
    recipe, device = encoder.recipe, encoder.cls_token.device
    about = {
        **about_model(checkpoint),
        "read_out": options.read_out,
        "tokens": options.tokens,
        "spacing_mm": list(recipe.spacing_mm),
        "volume_size": list(recipe.volume_size),
    }

    def compute(volumes: Tensor) -> Computed:
        with numerics(device, TrainRecipe()):
            rows, tokens = rows_and_tokens(encoder, volumes.to(device))
        features = read_out(rows, options.read_out, recipe).float().cpu().numpy()
        return features, tokens.float().cpu().numpy() if options.tokens else None

    folder = RowFolder(out, "features", about, form=options.form, shard=options.scans.shard)
    return apply_to_scans(inputs, Work.on_centres(encoder.view, compute), folder, options.scans, should_stop)
