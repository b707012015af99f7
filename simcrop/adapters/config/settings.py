"""A YAML file and `--set` options become one frozen, checked `RunConfig`.

Later wins: defaults, `recipe`, `model.preset`, the file, `--set`. The keys are the fields of the dataclasses in
config.py and core/recipe; paths are relative to the current directory.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from simcrop.adapters.config.errors import describe
from simcrop.adapters.config.outside import require_source
from simcrop.adapters.config.renamed import renamed_keys
from simcrop.adapters.config.run import BUILT_IN, DataSettings, EvaluationSettings, RunConfig
from simcrop.adapters.config.shipped import here_or_shipped
from simcrop.adapters.config.yaml_text import format_yaml, parse_yaml
from simcrop.core.errors import ConfigError
from simcrop.core.recipe import PAPER, PRESETS, ModelRecipe, Size

__all__ = [
    "DataSettings",
    "EvaluationSettings",
    "RunConfig",
    "as_tree",
    "as_yaml",
    "config_from_tree",
    "load_config",
    "merge",
    "with_model",
]


def load_config(path: Path | str, overrides: Sequence[str] = ()) -> RunConfig:
    """The configuration that a YAML file and options describe, checked and with every default filled in.

    Args:
        path: YAML file; where it does not exist, the one of that name that comes with simcrop.
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
    for old, new in renamed_keys(user)[1].items():
        raise _error(f"{_origin(old, str(path), keys)}: {old}: is called {new} since 0.2")
    for key in _empty_keys(user):
        raise _error(f"{_origin(key, str(path), keys)}: {key}: is empty; write a value, or null for none")
    user.setdefault("name", re.sub(r"[^\w.-]+", "_", path.stem).lstrip(".-") or "run")
    config = _with_derived(_validate(user, str(path), keys))
    _check_files(config, str(path), keys)
    return config


def config_from_tree(tree: Mapping[str, Any], where: str) -> RunConfig:
    """The configuration in a tree that `as_tree` made; files that it names need not exist here.

    Args:
        tree: nested dicts of plain values, as JSON has them or as YAML's text.
        where: file that it came from, for messages.

    Raises:
        ConfigError: not such a tree.
    """
    return _with_derived(_validate(tree, where, ()))


def as_yaml(config: RunConfig) -> str:
    """Every key of the configuration, defaults included; `load_config` reads it back unchanged."""
    return format_yaml(as_tree(config))


def as_tree(config: RunConfig) -> dict[str, Any]:
    """The configuration as nested dicts of plain values."""
    return _adapter().dump_python(config, mode="json")


def with_model(config: RunConfig, recipe: ModelRecipe) -> RunConfig:
    """The configuration with the model of a checkpoint; volumes of another size are prepared anew."""
    data, size = config.data, recipe.volume_size
    kept = data.prepared_size if config.model.volume_size == size else None
    return _with_derived(replace(config, model=recipe, data=replace(data, prepared_size=kept)))


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


def _error(message: str) -> ConfigError:
    """The error with a message of one line, whatever a user's keys and values contain."""
    return ConfigError(" ".join(message.split()))


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise _error(message)


@cache
def _adapter() -> TypeAdapter[RunConfig]:
    return TypeAdapter(RunConfig)


def _read(path: Path) -> dict[str, Any]:
    try:
        text = here_or_shipped(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a UTF-8 text file"
        raise _error(f"{path}: cannot be read ({reason}); name a YAML file such as pretrain.yaml") from error
    return _mapping(parse_yaml(text, str(path)), str(path))


def _mapping(tree: Any, where: str) -> dict[str, Any]:
    if tree is None:
        return {}
    _require(isinstance(tree, dict), f"{where}: expected sections such as `train:`, not {type(tree).__name__}")
    return tree


def _parse_override(override: str) -> dict[str, Any]:
    key, equals, text = override.partition("=")
    key = " ".join(key.split())
    parts = key.split(".")
    _require(bool(equals) and all(parts), f"--set {override}: expected section.key=value, e.g. train.steps=20")
    value = parse_yaml(text, f"--set {key}")
    for part in reversed(parts):
        value = {part: value}
    return value


def _empty_keys(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Keys with a text that is empty, which would be the current directory as a path; packages' own options may be."""
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and key != "data.options":
            yield from _empty_keys(value, f"{key}.")
        elif any(
            isinstance(text, str) and not text.strip() for text in (value if isinstance(value, list) else [value])
        ):
            yield key


def _validate(user: Mapping[str, Any], where: str, option_keys: Sequence[str]) -> RunConfig:
    tree = as_tree(RunConfig())
    model = user.get("model")
    preset = model.get("preset") if isinstance(model, Mapping) else None
    tree = merge(tree, PAPER if user.get("recipe") == "paper" else {})
    tree = merge(tree, PRESETS.get(preset, {}) if isinstance(preset, str) else {})
    try:
        return _adapter().validate_python(merge(tree, user))
    except ValidationError as error:
        key, message = describe(error, RunConfig)
        raise _error(f"{_origin(key, where, option_keys)}: {message}") from error


def _origin(key: str, where: str, option_keys: Sequence[str]) -> str:
    key = key.partition("[")[0]
    among = any(f"{key}.".startswith(f"{option}.") or option.startswith(f"{key}.") for option in option_keys)
    return "--set" if among else where


def _with_derived(config: RunConfig) -> RunConfig:
    """Fill in the keys whose defaults follow from others."""
    data = config.data
    if data.prepared_size is None:
        data = replace(data, prepared_size=usual_prepared_size(config.model))
    if data.source == "phantom" and data.root is None:
        data = replace(data, root=Path(f"data/phantom_{data.cases}_{data.phantom_seed}"))
    return replace(config, data=data)


def usual_prepared_size(model: ModelRecipe) -> Size:
    """The model's volume and room for a random crop: what `data.prepared_size` is where nothing else is said."""
    x, y, z = (round(size * 8 / 7) for size in model.volume_size)
    return x, y, z


def _check_files(config: RunConfig, where: str, option_keys: Sequence[str]) -> None:
    data, encoder, init = config.data, config.text_encoder.source, config.model.init
    checks: list[tuple[str, Path, bool]] = []
    if data.source == "ct_rate" and data.root is not None:
        checks.append(("data.root", data.root, data.root.is_dir()))
    if data.source == "manifest" and data.manifest is not None:
        checks.append(("data.manifest", data.manifest, data.manifest.is_file()))
    if data.exclude is not None:
        checks.append(("data.exclude", data.exclude, data.exclude.is_file()))
    if data.organ_masks is not None:
        checks.append(("data.organ_masks", data.organ_masks, data.organ_masks.is_dir()))
    if init != "scratch":
        checks.append(("model.init", Path(init), Path(init).expanduser().exists()))
    if encoder.startswith(("/", "./", "../", "~")):
        checks.append(("text_encoder.source", Path(encoder), Path(encoder).expanduser().is_dir()))
    try:
        require_source(data.source, BUILT_IN)
    except ConfigError as error:
        raise _error(f"{_origin('data.source', where, option_keys)}: data.{error}") from error
    for key, path, found in checks:
        origin = _origin(key, where, option_keys)
        _require(found, f"{origin}: {key}: {path} does not exist (paths are relative to {Path.cwd()})")
