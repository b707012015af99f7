"""A folder that transformers loads without simcrop: weights, configurations, tokenizer, and the code that runs them.

config.json  model.safetensors  preprocessor_config.json  LICENSE
configuration_simcrop.py  modeling_simcrop.py  image_processing_simcrop.py  matching.py  vision.py  scan.py
tokenizer.json  tokenizer_config.json    of a model that compares sentences with patches
"""

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import save

from simcrop.adapters.checkpoints.folder import WEIGHTS
from simcrop.adapters.export import standalone
from simcrop.adapters.export.encoder_sizes import encoder_sizes, input_sizes
from simcrop.adapters.text.encoder import HFTextEncoder
from simcrop.adapters.text.tokenizer import HFTokenizer
from simcrop.core.evaluation.sentences import scoring
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.recipe import Size

STANDALONE = Path(str(standalone.__file__)).parent
"""Folder of the files that are copied as they are."""
_CODE = (
    "configuration_simcrop.py",
    "modeling_simcrop.py",
    "image_processing_simcrop.py",
    "matching.py",
    "vision.py",
    "scan.py",
    "LICENSE",
)


def write_transformers(folder: Path, encoder: VisionEncoder, grid_size: Size, model: SimCroP | None) -> None:
    """Write the folder's files but its model card.

    Args:
        folder: exists and is empty.
        encoder: in eval mode.
        grid_size: of the grid that scans are resampled onto before their centre is cut out.
        model: that the encoder is of, with a tokenizer, where it compares sentences with patches.
    """
    from simcrop.adapters.export.standalone.image_processing_simcrop import SimcropImageProcessor
    from simcrop.adapters.export.standalone.modeling_simcrop import SimcropModel

    exported = _exported(encoder, model)
    config, processor = exported.config, SimcropImageProcessor(**input_sizes(encoder.recipe, grid_size))
    config.architectures = [SimcropModel.__name__]
    config.auto_map = {"AutoConfig": _reference(type(config)), "AutoModel": _reference(SimcropModel)}
    config.save_pretrained(folder)
    # Not save_file, whose files no other user can read.
    (folder / WEIGHTS).write_bytes(save(exported.state_dict(), metadata={"format": "pt"}))
    about = processor.to_dict() | {"auto_map": {"AutoImageProcessor": _reference(SimcropImageProcessor)}}
    (folder / "preprocessor_config.json").write_text(json.dumps(about, indent=2), encoding="utf-8")
    if model is not None and isinstance(model.tokenizer, HFTokenizer):
        # A separator that is not read takes no room.
        max_tokens = model.text_recipe.max_tokens + (not model.text_recipe.separator)
        model.tokenizer.save(folder, max_tokens=max_tokens)
    for name in _CODE:
        shutil.copyfile(STANDALONE / name, folder / name)


def _reference(kind: type) -> str:
    """A class as transformers finds it in the folder: FILE.CLASS."""
    return f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}"


def _exported(encoder: VisionEncoder, model: SimCroP | None) -> Any:
    """The model of the folder with the weights of ours, which have the same names."""
    from simcrop.adapters.export.standalone.configuration_simcrop import SimcropConfig
    from simcrop.adapters.export.standalone.modeling_simcrop import SimcropModel

    recipe, text = encoder.recipe, {} if model is None else _text_side(model)
    config = SimcropConfig(spacing_mm=recipe.spacing_mm, air_window=recipe.window, **encoder_sizes(recipe), **text)
    exported = SimcropModel(config)
    weights = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
    if model is not None:
        wanted = exported.state_dict().keys()
        weights |= {name: value for name, value in model.state_dict().items() if name in wanted}
    exported.load_state_dict({name: value.detach().cpu() for name, value in weights.items()})
    return exported


def _text_side(model: SimCroP) -> dict[str, Any]:
    """How sentences are read and compared, for the configuration."""
    assert isinstance(model.text_encoder, HFTextEncoder)
    recipe, how = model.recipe, scoring(model)
    text: Any = model.text_encoder.bert.config
    return {
        "projection_dim": recipe.projection_dim,
        "ignore_air": recipe.ignore_air,
        "local_patch_size": recipe.local,
        "local_dim": recipe.local_dim,
        "local_depth": recipe.local_depth,
        "score_pooling": how.pooling,
        "score_temperature": how.temperature,
        "score_top_k": how.top_k,
        "reads_sentences_apart": model.text_recipe.reads_sentences_apart,
        "reads_separator": model.text_recipe.separator,
        "text_config": text.to_diff_dict(),
    }
