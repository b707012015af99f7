"""The code with which a model card says how its export is loaded."""

from simcrop.adapters.checkpoints.encoder_file import AUTHORS_FILE, MONAI_FILE
from simcrop.adapters.export.formats import Format
from simcrop.adapters.export.monai_names import monai_arguments
from simcrop.core.recipe import ModelRecipe

_SIMCROP = """\
```python
import simcrop

encoder = simcrop.load_encoder("{where}")
tokens = encoder.encode(volume)  # [B, {channels}, H, W, D] in HU, RAS, at {spacing} mm -> [B, N+1, {width}]
model = simcrop.load_model("{where}")  # with text encoder and tokenizer
```

The first token is the class token; patch (h, w, d) of a grid (gH, gW, gD) is token 1 + (h * gW + w) * gD + d. The
window is applied inside."""

_AUTHORS = """\
```python
import torch
{imports}
weights = torch.load({file}, weights_only=True)["model"]
```

With simcrop, `simcrop.load_encoder("{where}")` gives the encoder itself, which reads volumes in HU."""

_MONAI = """\
```python
import torch
from monai.networks.nets import ViT
from safetensors.torch import load_file
{imports}
vit = ViT({arguments})
for module in vit.modules():
    if isinstance(module, torch.nn.LayerNorm):
        module.eps = 1e-6  # MONAI's own is 1e-5
vit.load_state_dict(load_file({file}))  # before MONAI 1.6: strict=False
vit.patch_embedding.position_embeddings.requires_grad_(False)
vit.eval()

{scaling}  # volume in HU, RAS, at {spacing} mm
with torch.no_grad():
    tokens, after_each_block = vit(scaled)  # [B, N, {width}]
```

Token (h * gW + w) * gD + d is patch (h, w, d) of a grid (gH, gW, gD).

MONAI's ViT without a classification head has no class token, so it was left out. The encoder was trained with one, and
its patches attend to it: the tokens above are those of the encoder without its class token (up to rounding), and differ
from those of `simcrop.load_encoder(...).encode(volume)[:, 1:]`, for a phantom chest by {difference} of their length."""


_ONE_WINDOW = """\
low, high = {low!r}, {high!r}
scaled = ((volume.float() - low) * (2 / (high - low)) - 1).clamp(-1, 1)"""

_WINDOWS = """\
windows = {windows!r}  # each is a channel
scaled = [((volume.float() - low) * (2 / (high - low)) - 1).clamp(-1, 1) for low, high in windows]
scaled = torch.cat(scaled, dim=1)"""


def usage(kind: Format, where: str, recipe: ModelRecipe, class_token: float | None) -> str:
    """Lines of a model card on how to load an export.

    Args:
        kind: its format.
        where: its folder, or its hub id (NAMESPACE/NAME).
        recipe: of the encoder.
        class_token: monai: relative difference that leaving out the class token makes.
    """
    spacing = " x ".join(f"{value:g}" for value in recipe.spacing_mm)
    facts: dict[str, object] = {"where": where, "spacing": spacing, "width": recipe.embed_dim}
    if kind == "simcrop":
        return _SIMCROP.format(channels=recipe.in_channels, **facts)
    name = AUTHORS_FILE if kind == "authors" else MONAI_FILE
    on_hub = "/" in where
    facts["file"] = f'hf_hub_download("{where}", "{name}")' if on_hub else f'"{where}/{name}"'
    facts["imports"] = "from huggingface_hub import hf_hub_download\n" if on_hub else ""
    if kind == "authors":
        return _AUTHORS.format(**facts)
    arguments = "".join(f"\n    {key}={value!r}," for key, value in monai_arguments(recipe).items()) + "\n"
    return _MONAI.format(arguments=arguments, scaling=_scaling(recipe), difference=f"{class_token:.2%}", **facts)


def _scaling(recipe: ModelRecipe) -> str:
    """Code that maps `volume` to what the patch embedding reads."""
    if recipe.windows is not None:
        return _WINDOWS.format(windows=recipe.windows)
    low, high = recipe.window
    return _ONE_WINDOW.format(low=low, high=high)
