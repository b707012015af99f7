"""Export folders: what each format writes, and how a folder appears whole or not at all.

    simcrop        model.safetensors  config.json  tokenizer/   a checkpoint without its training state; with
                   references.safetensors                       reference scans, where its run has kept some
    authors        simcrop.pth                                  the encoder under the key `model`
    monai          monai_vit.safetensors                        the encoder in the names of MONAI's ViT
    transformers   see `transformers_folder`                    with code, so that simcrop is not needed
    monai-bundle   see `monai_bundle`                           with code too

and in each README.md, the model card, and manifest.json: format, step, version, provenance, sha256 of every other file.
"""

import io
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file

from simcrop.adapters.checkpoints.encoder_file import AUTHORS_FILE, MONAI_FILE, OWN_KEY
from simcrop.adapters.checkpoints.folder import WEIGHTS, Checkpoint
from simcrop.adapters.checkpoints.reference_scans import REFERENCES, references_file
from simcrop.adapters.checkpoints.store import write_manifest
from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.config.settings import as_tree
from simcrop.adapters.export.monai_names import monai_weights
from simcrop.adapters.system.files import whole_folder, writing
from simcrop.adapters.system.outside_files import read_json
from simcrop.core.errors import CheckpointError
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.recipe import ModelRecipe

Format = Literal["simcrop", "authors", "monai", "transformers", "monai-bundle"]
_MANIFEST = "manifest.json"


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """A checkpoint's weights, tokenizer and references as they are, and its configuration without this machine's."""
    shutil.copyfile(checkpoint.file(WEIGHTS), folder / WEIGHTS)
    references = references_file(checkpoint)
    if references is not None:
        shutil.copyfile(references, folder / REFERENCES)
    shutil.copytree(checkpoint.tokenizer_folder(), folder / "tokenizer")
    text = json.dumps(as_tree(without_places(checkpoint.run_config())), indent=1)
    (folder / "config.json").write_text(text, encoding="utf-8")


def write_authors(folder: Path, encoder: VisionEncoder, step: int | None) -> None:
    """The encoder under the key `model`, in timm's names, as the authors publish theirs; tensors and plain values only.

    Beside it, under a key of ours, the recipe, so that `load_encoder` need not infer it.
    """
    weights = {name: value.detach().cpu().contiguous() for name, value in encoder.state_dict().items()}
    own = {"model": asdict(_without_place(encoder.recipe)), "step": step}
    content = io.BytesIO()  # torch.save hides why a file cannot be written
    torch.save({"model": weights, OWN_KEY: own}, content)
    (folder / AUTHORS_FILE).write_bytes(content.getbuffer())


def write_monai(folder: Path, encoder: VisionEncoder) -> None:
    """The encoder without its class token, in the names of MONAI's ViT."""
    save_file({name: value.detach().cpu() for name, value in monai_weights(encoder).items()}, folder / MONAI_FILE)


def without_places(config: RunConfig) -> RunConfig:
    """A configuration that can be published: of every path the last part, and no name of a volume that was left out.

    A text encoder's source stays, since loading the model needs it.
    """
    config = _with_names(config)
    return replace(config, data=replace(config.data, quarantine=(), exclude=None), model=_without_place(config.model))


def _with_names(section: Any) -> Any:
    """A section of a configuration with the last part of every path in place of the path."""
    changed: dict[str, Any] = {}
    for field in fields(section):
        value = getattr(section, field.name)
        if isinstance(value, Path):
            changed[field.name] = Path(value.name)
        elif is_dataclass(value):
            changed[field.name] = _with_names(value)
    return replace(section, **changed)


def _without_place(recipe: ModelRecipe) -> ModelRecipe:
    return replace(recipe, init=Path(recipe.init).name)


def check_target(out: Path, *, replace_export: bool) -> None:
    """Raise CheckpointError unless a folder is absent, empty, or an earlier export that may be replaced."""
    if out.exists() and not out.is_dir():
        raise CheckpointError(f"--out {out}: is a file; name a folder")
    found = (
        {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()} if out.is_dir() else set()
    )
    if not found:
        return
    foreign = sorted(found - _written_by_export(out))
    if foreign:
        raise CheckpointError(f"--out {out}: holds {foreign[0]}, which no export wrote; name another folder")
    if not replace_export:
        raise CheckpointError(f"--out {out}: holds an earlier export; --force replaces it")


def _written_by_export(out: Path) -> set[str]:
    try:
        manifest = read_json(out / _MANIFEST)
        return {_MANIFEST, *manifest["files"]} if "format" in manifest else set()
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def write_whole(out: Path, write: Callable[[Path], None], manifest: Mapping[str, Any]) -> None:
    """Make an export folder, in one instant, in place of an earlier one.

    Args:
        out: as `check_target` allows it.
        write: puts the files into the folder that it is given.
        manifest: goes into manifest.json, as `write_manifest` makes it.

    Raises:
        CheckpointError: the disk refuses.
    """
    out = out.resolve()
    remedy = "free some space, or name another"
    with writing(f"--out {out}", CheckpointError, remedy), whole_folder(out) as draft:
        write(draft)
        write_manifest(draft, manifest)
