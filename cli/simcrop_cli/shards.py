"""Parts of a job that is divided over machines."""

import re

from simcrop.core.errors import ConfigError


def parse_shard(text: str | None) -> tuple[int, int]:
    """(0, 8) for "1/8": the part's number from 0, and the number of parts. None is the whole.

    Raises:
        ConfigError: for anything else.
    """
    if text is None:
        return 0, 1
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError(f"--shard {text}: parts are numbered 1/N to N/N, such as 1/8")
    return int(match[1]) - 1, int(match[2])
