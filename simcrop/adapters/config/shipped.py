"""Configurations that come with simcrop, for whoever has installed it without a clone."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[2]
_HOMES = (_PACKAGE / "shipped", _PACKAGE.parent)
"""Of an installed package, where the build puts them; of a clone."""


def shipped(path: Path) -> Path | None:
    """The file of a configuration that comes with simcrop.

    Args:
        path: as it is named in a clone: pretrain.yaml, or configs/ct_rate.yaml.

    Returns:
        The file, or None where simcrop has none of that name.
    """
    if path.suffix != ".yaml" or (path != Path("pretrain.yaml") and path.parent != Path("configs")):
        return None
    return next((home / path for home in _HOMES if (home / path).is_file()), None)
