"""Small files in the layouts of released weights: names, shapes and what lies beside them, with random values.

mae_encoder       mae_pretrain_vit_base.pth of facebookresearch/mae: the encoder alone
mae_whole         mae_pretrain_vit_base_full.pth: with its decoder (issue 8 of that repository)
merged            blocks of the former and CXR-BERT below `bert_encoder.`, where the authors' training starts from
simcrop           the authors' published encoder
asap              a checkpoint of their extension, as its public pre-training code saves one
write_cxr_bert    the folder of BiomedVLP-CXR-BERT-specialized, its code included
"""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from simcrop.core.model.positions import position_table
from simcrop.core.recipe import ModelRecipe
from support.bert import write_bert

Tree = dict[str, Any]


def mae_encoder(recipe: ModelRecipe) -> Tree:
    width, (x, y, _) = recipe.embed_dim, recipe.patch_size
    pictures = {"patch_embed.proj.weight": (width, 3, x, y), "patch_embed.proj.bias": (width,)}
    return {"model": _tensors({"cls_token": (1, 1, width), "pos_embed": (1, 197, width), **pictures} | _vit(recipe))}


def mae_whole(recipe: ModelRecipe) -> Tree:
    return {"model": mae_encoder(recipe)["model"] | _tensors(_decoder(recipe, "decoder_pred", 197))}


def merged(recipe: ModelRecipe) -> Tree:
    bert = ("bert.embeddings.word_embeddings.weight", "cls.predictions.bias", "cls_projection_head.LayerNorm.bias")
    return {"model": _tensors({f"bert_encoder.{name}": (8,) for name in bert} | _vit(recipe))}


def simcrop(recipe: ModelRecipe) -> Tree:
    tensors = _tensors(_patches(recipe) | _vit(recipe))
    return {"model": tensors | {"pos_embed": position_table("sincos_hw", recipe.grid, recipe.embed_dim)}}


def asap(recipe: ModelRecipe) -> Tree:
    width, classes = recipe.embed_dim, 9
    parts = _decoder(recipe, "decoder_pred_layer", recipe.num_patches + 1)
    parts |= _linear("decoder_injection_pred_layer_0", 8, classes) | _linear("regression_head", width, 1)
    parts |= _linear("decoder_injection_pred_layer_1", classes, classes)
    for head in ("bert_feature_proj", "finding_align_img_mlp", "align_text_mlp"):
        parts |= _linear(f"{head}.dense_to_hidden", width, width) | _linear(f"{head}.dense_to_output", width, width)
        parts |= _norm(f"{head}.LayerNorm", width)
    parts |= _linear("bert_mlp", width, width) | _linear("bert_topk_mlp", width, width)
    parts |= _linear("bert_encoder.bert.encoder.layer.0.output.dense", 8, 8)
    parts |= {"bert_encoder.cls.predictions.bias": (8,)} | _linear("bert_decoder.cls.predictions.decoder", 8, 8)
    table = {"pos_embed": position_table("sincos3d", recipe.grid, width)}
    state = {"optimizer": {"state": {}, "param_groups": []}, "epoch": 199, "scaler": {"scale": 65536.0}}
    tensors = _tensors(_patches(recipe) | _vit(recipe)) | table | _tensors(parts)
    return {"model": tensors, **state, "args": Namespace(lr=1.5e-4, mask_ratio=0.75)}


def write_cxr_bert(folder: Path, *, form: str = "safetensors") -> dict[str, Tensor]:
    """Write the folder, and give the weights of its BERT as `BertModel` calls them.

    Args:
        folder: made if absent. Its code would end the process, were it run.
        form: of the weights, "safetensors" or "bin".
    """
    write_bert(folder, seed=0)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    config = json.loads((folder / "config.json").read_text())
    words, width, joint = config["vocab_size"], config["hidden_size"], 8
    heads = {"cls.predictions.bias": (words,), **_norm("cls.predictions.transform.LayerNorm", width)}
    heads |= _linear("cls.predictions.transform.dense", width, width) | _linear("cls.predictions.decoder", width, words)
    heads |= _linear("cls_projection_head.dense_to_hidden", width, joint)
    heads |= _linear("cls_projection_head.dense_to_output", joint, joint) | _norm(
        "cls_projection_head.LayerNorm", joint
    )
    stored = {f"bert.{name}": value for name, value in weights.items()} | _tensors(heads)
    stored["bert.embeddings.position_ids"] = torch.arange(config["max_position_embeddings"])[None]
    if form == "bin":
        torch.save(stored, folder / "pytorch_model.bin")
    else:
        save_file(stored, folder / "model.safetensors")
    code = {"AutoConfig": "configuration_cxrbert.CXRBertConfig", "AutoModel": "modeling_cxrbert.CXRBertModel"}
    tokens = {"AutoTokenizer": ["configuration_cxrbert.CXRBertTokenizer", None]}
    config |= {"model_type": "cxr-bert", "architectures": ["CXRBertModel"], "projection_size": joint}
    _write(folder / "config.json", config | {"auto_map": code | tokens})
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in sorted(vocabulary, key=vocabulary.__getitem__)))
    (folder / "tokenizer.json").unlink()
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    _write(folder / "tokenizer_config.json", settings | {"tokenizer_class": "CXRBertTokenizer", "auto_map": tokens})
    for name in ("configuration_cxrbert.py", "modeling_cxrbert.py"):
        (folder / name).write_text("raise SystemExit('code of the folder was run')\n")
    return weights


def _vit(recipe: ModelRecipe) -> dict[str, tuple[int, ...]]:
    width, hidden = recipe.embed_dim, round(recipe.embed_dim * recipe.mlp_ratio)
    shapes = _norm("norm", width)
    for number in range(recipe.depth):
        shapes |= _block(f"blocks.{number}", width, hidden)
    return shapes


def _patches(recipe: ModelRecipe) -> dict[str, tuple[int, ...]]:
    width = recipe.embed_dim
    weight = {"patch_embed.proj.weight": (width, 1, *recipe.patch_size)}
    return {"cls_token": (1, 1, width), **weight, "patch_embed.proj.bias": (width,)}


def _decoder(recipe: ModelRecipe, last: str, num_tokens: int) -> dict[str, tuple[int, ...]]:
    width = 8
    shapes = {"mask_token": (1, 1, width), "decoder_pos_embed": (1, num_tokens, width)}
    shapes |= _linear("decoder_embed", recipe.embed_dim, width) | _linear(last, width, 16)
    return shapes | _block("decoder_blocks.0", width, 4 * width) | _norm("decoder_norm", width)


def _block(name: str, width: int, hidden: int) -> dict[str, tuple[int, ...]]:
    shapes = _norm(f"{name}.norm1", width) | _norm(f"{name}.norm2", width)
    shapes |= _linear(f"{name}.attn.qkv", width, 3 * width) | _linear(f"{name}.attn.proj", width, width)
    return shapes | _linear(f"{name}.mlp.fc1", width, hidden) | _linear(f"{name}.mlp.fc2", hidden, width)


def _linear(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _tensors(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(7)
    return {name: torch.randn(shape, generator=draw) * 0.02 for name, shape in shapes.items()}


def _write(path: Path, tree: Any) -> None:
    path.write_text(json.dumps(tree))
