"""Configurations and prompts that come with simcrop, for whoever has installed it without a clone."""

import logging
from pathlib import Path

_PACKAGE = Path(__file__).parents[2]
_HOMES = (_PACKAGE / "shipped", _PACKAGE.parent)
"""Of an installed package, where the build puts them; of a clone."""
_FOLDERS = (Path("configs"), Path("configs/prompts"))
_log = logging.getLogger("simcrop")


def shipped(path: Path) -> Path | None:
    """A file that comes with simcrop.

    Args:
        path: as it is named in a clone: pretrain.yaml, configs/ct_rate.yaml, or configs/prompts/ct_rate_short.yaml.

    Returns:
        The file, or None where simcrop has none of that name.
    """
    if path.suffix != ".yaml" or (path != Path("pretrain.yaml") and path.parent not in _FOLDERS):
        return None
    return next((home / path for home in _HOMES if (home / path).is_file()), None)


def here_or_shipped(path: Path) -> Path:
    """The file of that name, or where there is none the one that comes with simcrop, which is then said."""
    own = None if path.exists() else shipped(path)
    if own is None:
        return path
    _log.info("%s: is not here; taken from %s", path, own)
    return own
