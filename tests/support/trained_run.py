"""A run of four steps on eight small studies, and its rows."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simcrop import compose
from simcrop.adapters.config.settings import load_config
from support.tiny_data import write_config

STEPS = ("train.steps=4", "train.warmup_steps=1", "train.checkpoint_every=2", "train.evaluate_every=2")


@dataclass(frozen=True)
class Setting:
    """A configuration file, and the run that was trained with it."""

    yaml: Path
    out: Path

    def train(self, out: Path | None = None, *options: str, **arguments: Any) -> compose.TrainResult:
        """Train with other options, into another folder."""
        config = load_config(self.yaml, [*STEPS, *options])
        return compose.train(config, out=out or self.out, **arguments)


def trained(folder: Path) -> Setting:
    """The finished run."""
    setting = Setting(write_config(folder), folder / "run")
    result = setting.train()
    assert result == compose.TrainResult(setting.out, 4, finished=True)
    return setting


def rows(out: Path) -> list[dict[str, Any]]:
    """What a run wrote of each step."""
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
