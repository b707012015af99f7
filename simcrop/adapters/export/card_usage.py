"""The sentence with which a model card says what its export holds, and the code that loads it."""

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


_TRANSFORMERS = """\
```python
import torch
from transformers import AutoImageProcessor, AutoModel

model = AutoModel.from_pretrained("{where}", trust_remote_code=True).eval()
processor = AutoImageProcessor.from_pretrained("{where}", trust_remote_code=True)
inputs = processor("scan.nii.gz")  # or a list; a nibabel image; (array in HU, affine)
with torch.no_grad():
    output = model(**inputs)
tokens = output.last_hidden_state  # [B, N+1, {width}], class token first
features = output.pooler_output  # [B, {width}], mean of the patch tokens before the final norm, for probes
```

It needs torch, transformers 5, nibabel, and pillow, which AutoImageProcessor asks for. Read the code before you trust
it: it is in this folder, and short. The processor turns a scan to RAS, resamples it to {spacing} mm, and cuts its
centre. `pixel_values` are HU."""

_ZERO_SHOT = """

```python
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{where}", trust_remote_code=True)
sentences = ["There is pleural effusion.", "There is no pleural effusion."]
words = tokenizer(sentences, padding=True, truncation=True, return_tensors="pt")
with torch.no_grad():
    scores = model(**inputs, **words).logits_per_image  # [B, 2], from -1 to 1
```

A score says how well a sentence is met in the scan. It is no probability: compare a sentence with its denial.
`get_image_features` and `get_text_features` give what is compared."""

_BUNDLE = """\
```sh
pip install monai nibabel fire
cd {folder}
python -m monai.bundle run --config_file configs/inference.json --dataset_dir SCANS --output_dir FEATURES
```

This writes FEATURES/features.csv: a row for each NIfTI file in SCANS and below, the mean of its patch tokens. With
`--save_tokens True` it writes every token too. Scans are turned to RAS, resampled to {spacing} mm, and cut at their
centre. Any key of configs/inference.json can be set so. Read scripts/ before you run it."""


_ONE_WINDOW = """\
low, high = {low!r}, {high!r}
scaled = ((volume.float() - low) * (2 / (high - low)) - 1).clamp(-1, 1)"""

_WINDOWS = """\
windows = {windows!r}  # each is a channel
scaled = [((volume.float() - low) * (2 / (high - low)) - 1).clamp(-1, 1) for low, high in windows]
scaled = torch.cat(scaled, dim=1)"""


def contents(kind: Format, has_text_side: bool) -> str:
    """A sentence of a model card on what an export holds; arguments as for `usage`."""
    beside = ", and what compares sentences with its patches" if has_text_side else " alone"
    return {
        "simcrop": "The whole model: vision encoder, text encoder and the parts of its objectives.",
        "authors": "The vision encoder alone, in the key names of the checkpoint that the method's authors released.",
        "monai": "The vision encoder alone, as a state dict of MONAI's ViT.",
        "transformers": f"The vision encoder{beside}, with code that transformers runs without simcrop.",
        "monai-bundle": "The vision encoder alone, as a MONAI bundle, with code that runs without simcrop.",
    }[kind]


def usage(kind: Format, where: str, recipe: ModelRecipe, class_token: float | None, has_text_side: bool) -> str:
    """Lines of a model card on how to load an export.

    Args:
        kind: its format.
        where: its folder, or its hub id (NAMESPACE/NAME).
        recipe: of the encoder.
        class_token: monai: relative difference that leaving out the class token makes.
        has_text_side: transformers: whether it compares sentences with patches.
    """
    spacing = " x ".join(f"{value:g}" for value in recipe.spacing_mm)
    facts: dict[str, object] = {"where": where, "spacing": spacing, "width": recipe.embed_dim}
    if kind == "simcrop":
        return _SIMCROP.format(channels=recipe.in_channels, **facts)
    if kind == "transformers":
        return (_TRANSFORMERS + (_ZERO_SHOT if has_text_side else "")).format(**facts)
    if kind == "monai-bundle":
        return _BUNDLE.format(folder=where.rpartition("/")[2], **facts)
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
