"""A run's configuration: a YAML file and `--set` options become one frozen, checked `RunConfig`.

Later wins: defaults, `recipe`, `model.preset`, the file, `--set`. The keys are the fields of the dataclasses below and
in core/recipe.py; paths are relative to the current directory.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from simcrop.adapters.settings_errors import describe
from simcrop.adapters.yaml_text import format_yaml, parse_yaml
from simcrop.core.errors import ConfigError
from simcrop.core.recipe import (
    PAPER,
    PRESETS,
    AugmentRecipe,
    ModelRecipe,
    ObjectivesRecipe,
    Size,
    TextEncoderRecipe,
    TrainRecipe,
)

_STRICT = {"extra": "forbid", "allow_inf_nan": False}


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


@dataclass(frozen=True)
class DataSettings:
    """Where studies come from and how their volumes reach the model (DATA sections 1 and 2)."""

    __pydantic_config__ = _STRICT

    source: Literal["phantom", "ct_rate", "manifest"] = "phantom"
    """phantom makes its own studies; ct_rate reads a folder in CT-RATE's layout; manifest one CSV."""
    root: Path | None = None
    """ct_rate: its folder. phantom: where the studies are written; null takes data/phantom_CASES_SEED."""
    manifest: Path | None = None
    """manifest: the CSV with the columns volume, findings, impression."""
    cases: int = 512
    """phantom: studies to make, held-out ones included."""
    phantom_seed: int = 0
    """phantom: seed of the studies, apart from the run's, so that seeds of a run can be compared on the same data."""
    hu: Literal["hu", "header", "raw+csv"] = "hu"
    """ct_rate: what voxels hold: HU, values the header rescales, or values the metadata CSV rescales."""
    padding_value: float | None = None
    """Voxel value that a scanner wrote outside its field of view, e.g. -8192; read as air."""
    validation_fraction: float = 0.2
    """Share of patients held out where the source has no split of its own; for phantoms, the share made."""
    quarantine: tuple[str, ...] = ()
    """Names of volumes to leave out."""
    prepared: Path = Path("data/prepared")
    """Folder of the resampled int16 volumes; each grid has its own folder inside."""
    prepared_size: Size | None = None
    """Voxels of a prepared volume; null takes 8/7 of model.volume_size, room for random crops."""
    num_workers: int = 0
    """Processes that load batches beside each training process; 0 loads in the training process itself."""
    augment: AugmentRecipe = field(default_factory=AugmentRecipe)

    def __post_init__(self) -> None:
        _require(self.cases >= 2, f"cases: {self.cases} is below 2")
        _require(self.num_workers >= 0, f"num_workers: {self.num_workers} is below 0")
        _require(
            0 <= self.validation_fraction < 1, f"validation_fraction: {self.validation_fraction} is outside [0, 1)"
        )
        _require(
            self.prepared_size is None or min(self.prepared_size) >= 1, "prepared_size: every size must be at least 1"
        )
        _require(self.source != "ct_rate" or self.root is not None, "root: source ct_rate needs it; name its folder")
        _require(
            self.source != "manifest" or self.manifest is not None, "manifest: source manifest needs it; name its CSV"
        )


@dataclass(frozen=True)
class EvaluationSettings:
    """What is measured on held-out studies, during the run and at its end."""

    __pydantic_config__ = _STRICT

    loss_studies: int = 64
    """Held-out studies behind `validation_loss` every train.evaluate_every steps."""
    max_studies: int | None = None
    """Held-out studies of the summary at the end; null takes all."""
    probe_labelled: int = 64
    """Labelled held-out studies that the linear probe is fitted on."""
    probe_test: int = 256
    """Held-out studies that the probe is tested on, at least; fewer only where the data has fewer."""
    batch_size: int = 16
    """Volumes encoded at a time, unmasked."""

    def __post_init__(self) -> None:
        for key in ("loss_studies", "probe_labelled", "probe_test", "batch_size"):
            _require(getattr(self, key) >= 1, f"{key}: {getattr(self, key)} is below 1")
        _require(self.max_studies is None or self.max_studies >= 1, f"max_studies: {self.max_studies} is below 1")


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run."""

    __pydantic_config__ = _STRICT

    name: str = "run"
    """Folder of the run under runs/; unset, the name of the YAML file."""
    seed: int = 0
    """Every random draw of the run derives from it."""
    recipe: Literal["improved", "paper"] = "improved"
    """Set of defaults: the method put right, or as the authors' released code does it."""
    data: DataSettings = field(default_factory=DataSettings)
    model: ModelRecipe = field(default_factory=ModelRecipe)
    objectives: ObjectivesRecipe = field(default_factory=ObjectivesRecipe)
    text_encoder: TextEncoderRecipe = field(default_factory=TextEncoderRecipe)
    train: TrainRecipe = field(default_factory=TrainRecipe)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)

    def __post_init__(self) -> None:
        _require(
            re.fullmatch(r"\w[\w.-]*", self.name) is not None,
            f"name: {self.name!r} cannot be a folder; use letters, digits, dot, dash and underscore",
        )
        _require(self.seed >= 0, f"seed: {self.seed} is below 0")
        visible = self.model.num_visible
        for term in ("alignment", "late_interaction"):
            top_k = getattr(self.objectives, term).top_k
            _require(
                top_k <= visible,
                f"objectives.{term}.top_k: {top_k} is above the {visible} visible patches "
                f"(model.volume_size, patch_size and mask_ratio); take at most {visible}",
            )
        for_training = self.data.cases - round(self.data.cases * self.data.validation_fraction)
        _require(
            self.data.source != "phantom" or for_training >= self.train.batch_size,
            f"data.cases: {self.data.cases} studies leave {for_training} for training, below "
            f"train.batch_size {self.train.batch_size}; raise the one or lower the other",
        )


def load_config(path: Path | str, overrides: Sequence[str] = ()) -> RunConfig:
    """The configuration that a YAML file and options describe, checked and with every default filled in.

    Args:
        path: YAML file.
        overrides: `section.key=value` strings; later ones win.

    Raises:
        ConfigError: file, key or value is wrong, or a file that a key names is missing; one line.
    """
    path = Path(path)
    user = _read(path)
    options: dict[str, Any] = {}
    for override in overrides:
        options = merge(options, _parse_override(override))
    keys = [override.partition("=")[0].strip() for override in overrides]
    user = merge(user, options)
    user.setdefault("name", re.sub(r"[^\w.-]+", "_", path.stem).lstrip(".-") or "run")
    config = _with_derived(_validate(user, str(path), keys))
    _check_files(config, str(path), keys)
    return config


def config_from_yaml(text: str, where: str) -> RunConfig:
    """The configuration in a text written by `as_yaml`; files that it names need not exist here.

    Raises:
        ConfigError: not such a text.
    """
    return _with_derived(_validate(_mapping(parse_yaml(text, where), where), where, ()))


def as_yaml(config: RunConfig) -> str:
    """Every key of the configuration, defaults included; `config_from_yaml` reads it back unchanged."""
    return format_yaml(as_tree(config))


def as_tree(config: RunConfig) -> dict[str, Any]:
    """The configuration as nested dicts of plain values."""
    return _adapter().dump_python(config, mode="json")


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `over`, mappings merged key by key; a section left empty changes nothing."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(below, value)
        elif not (isinstance(below, Mapping) and value is None):
            merged[key] = value
    return merged


@cache
def _adapter() -> TypeAdapter[RunConfig]:
    return TypeAdapter(RunConfig)


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a UTF-8 text file"
        raise ConfigError(f"{path}: cannot be read ({reason}); name a YAML file such as pretrain.yaml") from error
    return _mapping(parse_yaml(text, str(path)), str(path))


def _mapping(tree: Any, where: str) -> dict[str, Any]:
    if tree is None:
        return {}
    _require(isinstance(tree, dict), f"{where}: expected sections such as `train:`, not {type(tree).__name__}")
    return tree


def _parse_override(override: str) -> dict[str, Any]:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    _require(bool(equals) and all(parts), f"--set {override}: expected section.key=value, e.g. train.steps=20")
    value = parse_yaml(text, f"--set {override}")
    for part in reversed(parts):
        value = {part: value}
    return value


def _validate(user: dict[str, Any], where: str, option_keys: Sequence[str]) -> RunConfig:
    tree = as_tree(RunConfig())
    model = user.get("model")
    preset = model.get("preset") if isinstance(model, Mapping) else None
    tree = merge(tree, PAPER if user.get("recipe") == "paper" else {})
    tree = merge(tree, PRESETS.get(preset, {}) if isinstance(preset, str) else {})
    try:
        return _adapter().validate_python(merge(tree, user))
    except ValidationError as error:
        key, message = describe(error, RunConfig)
        raise ConfigError(f"{_origin(key, where, option_keys)}: {message}") from error


def _origin(key: str, where: str, option_keys: Sequence[str]) -> str:
    return "--set" if any(key == option or key.startswith(f"{option}.") for option in option_keys) else where


def _with_derived(config: RunConfig) -> RunConfig:
    """Fill in the keys whose defaults follow from others."""
    data = config.data
    if data.prepared_size is None:
        x, y, z = (round(size * 8 / 7) for size in config.model.volume_size)
        data = replace(data, prepared_size=(x, y, z))
    if data.source == "phantom" and data.root is None:
        data = replace(data, root=Path(f"data/phantom_{data.cases}_{data.phantom_seed}"))
    return replace(config, data=data)


def _check_files(config: RunConfig, where: str, option_keys: Sequence[str]) -> None:
    data, encoder, init = config.data, config.text_encoder.source, config.model.init
    checks: list[tuple[str, Path, bool]] = []
    if data.source == "ct_rate" and data.root is not None:
        checks.append(("data.root", data.root, data.root.is_dir()))
    if data.source == "manifest" and data.manifest is not None:
        checks.append(("data.manifest", data.manifest, data.manifest.is_file()))
    if init != "scratch":
        checks.append(("model.init", Path(init), Path(init).exists()))
    if encoder.startswith(("/", "./", "../", "~")):
        checks.append(("text_encoder.source", Path(encoder), Path(encoder).is_dir()))
    for key, path, found in checks:
        origin = _origin(key, where, option_keys)
        _require(found, f"{origin}: {key}: {path} does not exist (paths are relative to {Path.cwd()})")
