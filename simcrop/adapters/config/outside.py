"""Data sets that other packages register, by entry points of the group `simcrop.sources`."""

from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from simcrop.core.errors import ConfigError, one_line

GROUP = "simcrop.sources"


def outside_sources() -> dict[str, EntryPoint]:
    """Name -> entry point of every data set that an installed package registers."""
    return {point.name: point for point in entry_points(group=GROUP)}


def require_source(name: str, built_in: tuple[str, ...]) -> None:
    """Raise ConfigError, relative to `data`, where a name is neither built in nor registered."""
    known = [*built_in, *outside_sources()]
    if name in known:
        return
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise ConfigError(
        f"source: {name!r} is no data set; {hint}built in or registered by the entry points {GROUP} are "
        f"{', '.join(known)}"
    )


def load_source(name: str) -> Any:
    """What the entry point of that name gives.

    Raises:
        ConfigError: no package registers it, or its code cannot be imported.
    """
    point = outside_sources().get(name)
    if point is None:
        raise ConfigError(f"data.source: no installed package registers {name!r} by an entry point of {GROUP}")
    try:
        return point.load()
    except Exception as error:  # other people's code may fail in any way
        raise ConfigError(
            f"data.source: {name}: {point.value} cannot be imported ({one_line(error)}); mend that package"
        ) from error
