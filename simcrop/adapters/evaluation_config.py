"""The sections of a configuration that say how a trained encoder is measured; `simcrop eval` reads them."""

from dataclasses import dataclass
from typing import Literal

from simcrop.core.errors import ConfigError

_STRICT = {"extra": "forbid", "allow_inf_nan": False}


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


@dataclass(frozen=True)
class LabelSettings:
    """Which labels probe, knn and finetune learn from, and how their predictions are measured."""

    __pydantic_config__ = _STRICT

    percent: float = 100.0
    """Share of the patients outside the test set whose labels are learned from; those of 1 are among those of 10."""
    names: tuple[str, ...] = ()
    """Columns to use; empty takes all that the data set has."""
    task: Literal["auto", "multilabel", "multiclass"] = "auto"
    """multilabel: every column by itself; multiclass: a study has exactly one; auto: multiclass for cc_ccii alone."""
    protocol: Literal["honest", "published"] = "honest"
    """published: the authors' recipe, which chooses the model on the test set; its output says so."""
    selection_fraction: float = 0.2
    """Share of those patients that choose between settings instead of being learned from."""
    bootstrap: int = 1000
    """Draws of test patients behind every interval; 0 leaves intervals out."""
    confidence: float = 0.95
    """Share of such intervals that hold the true value."""

    def __post_init__(self) -> None:
        _require(0 < self.percent <= 100, f"percent: {self.percent} is outside (0, 100]")
        _require(0 < self.selection_fraction < 1, f"selection_fraction: {self.selection_fraction} is outside (0, 1)")
        _require(self.bootstrap >= 0, f"bootstrap: {self.bootstrap} is below 0")
        _require(0 < self.confidence < 1, f"confidence: {self.confidence} is outside (0, 1)")
