"""Whatever lies in a checkpoint, it is loaded as it was saved, or refused by one line, in little time and memory.

Who can change a file can change its hash in the manifest too, so here all hashes are right.
"""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.bounded import bounded, bounded_memory
from support.hostile import CONFIG, DEEP, as_text, changed_bytes, changed_trees, hash_anew, write_checkpoint
from torch import Tensor, nn

from simcrop.compose.models import load_encoder, load_simcrop
from simcrop.core.errors import SimcropError

Saved = tuple[Path, dict[str, Tensor]]
"""A checkpoint, and its weights."""
SECONDS, MEMORY = 60, 1 << 30
"""Bounds of an example: those that hold are 5 seconds, on a machine that does nothing else, and 1 GB."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Tensor]]:
    """A checkpoint, and its weights."""
    folder = write_checkpoint(tmp_path_factory.mktemp("saved"))
    return folder, load_simcrop(folder).state_dict()


def outcome(load: Callable[[], nn.Module], weights: dict[str, Tensor]) -> str:
    """The one line of a refusal; empty where it was loaded with these weights."""
    try:
        with bounded(SECONDS), bounded_memory(MEMORY):
            own = load().state_dict()
    except SimcropError as error:
        return str(error)
    for name, value in own.items():
        assert torch.equal(value, weights[name if name in weights else f"encoder.{name}"])
    return ""


def copied(saved: Path, folder: Path) -> Path:
    """The checkpoint again, as it was saved."""
    copy = folder / saved.name
    shutil.rmtree(copy, ignore_errors=True)
    return shutil.copytree(saved, copy)


@st.composite
def changed_headers(draw: st.DrawFn, content: bytes) -> bytes:
    """A .safetensors file whose header says something else."""
    length = int.from_bytes(content[:8], "little")
    if draw(st.booleans()):
        return draw(changed_bytes(content, first=8 + length))
    header = draw(changed_trees(json.loads(content[8 : 8 + length]))).encode()
    claimed = draw(st.sampled_from([len(header), len(header), len(header), 0, 1 << 62, len(header) + 1]))
    return claimed.to_bytes(8, "little") + header + content[8 + length :]


def changed(name: str, content: bytes) -> st.SearchStrategy[bytes]:
    """Another content of a file."""
    if name.endswith(".safetensors"):
        return changed_headers(content)
    trees = changed_trees(json.loads(content)).map(lambda text: text.encode("utf-8", "surrogatepass"))
    return st.one_of(trees, trees, trees, changed_bytes(content))


FILES = [
    "config.json",
    "manifest.json",
    "model.safetensors",
    "tokenizer/tokenizer.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/text_encoder.json",
]
EXAMPLES = 84
"""Of each file: 504 in all."""


def check_a_change(saved: Saved, folder: Path, name: str, data: st.DataObject) -> None:
    """Change a file, and load what there is."""
    path, weights = saved
    copy = copied(path, folder)
    (copy / name).write_bytes(data.draw(changed(name, (path / name).read_bytes())))
    if name != "manifest.json":
        hash_anew(copy)
    load = data.draw(st.sampled_from([load_simcrop, load_encoder] if name[0] in "cm" else [load_simcrop]))
    message = outcome(lambda: load(copy), weights)
    assert "\n" not in message
    assert len(message) < 2000


QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=EXAMPLES, suppress_health_check=QUIET, deadline=None)
@given(data=st.data())
def test_a_changed_file_is_one_line_or_changes_nothing(
    saved: Saved, tmp_path: Path, name: str, data: st.DataObject
) -> None:
    check_a_change(saved, tmp_path, name, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
@settings(max_examples=1700, suppress_health_check=QUIET, deadline=None)
@given(data=st.data())
def test_ten_thousand_changes(saved: Saved, tmp_path: Path, name: str, data: st.DataObject) -> None:
    check_a_change(saved, tmp_path, name, data)


def edited(folder: Path, name: str, key: str, value: Any) -> None:
    """Put another value into a JSON file of a checkpoint, at a key with dots."""
    tree = below = json.loads((folder / name).read_text())
    *sections, last = key.split(".")
    for section in sections:
        below = below[section]
    below[last] = value
    (folder / name).write_text(as_text(tree))
    if name != "manifest.json":
        hash_anew(folder)


SIZES, CONFIG_FILE = "tokenizer/text_encoder.json", "config.json"
LIES: list[tuple[str, str, Any, str]] = [
    (CONFIG_FILE, "model.embed_dim", 4_000_000, r"config.json: model.embed_dim: 4000000 is above 65536 \(take"),
    (
        CONFIG_FILE,
        "model.embed_dim",
        65_000,
        r"model.safetensors: does not belong .*\(encoder.cls_token is \(1, 1, 12\)",
    ),
    (
        CONFIG_FILE,
        "model.depth",
        10_000_000,
        r"config.json: model.depth: 10000000 is above 256 \(take another checkpoint",
    ),
    (
        CONFIG_FILE,
        "model.depth",
        256,
        r"model.safetensors: does not belong .*\(encoder.blocks.1.norm1.weight is absent",
    ),
    (
        CONFIG_FILE,
        "model.volume_size",
        [100_000] * 3,
        r"config.json: model.volume_size: \(100000, 100000, 100000\) are",
    ),
    (CONFIG_FILE, "model.volume_size", [256] * 3, r"model.safetensors: does not belong .*\(encoder.pos_embed is"),
    (CONFIG_FILE, "model.patch_size", [-4, 4, 4], r"config.json: model.patch_size: axis 0 has a size below 1"),
    (CONFIG_FILE, "model.mlp_ratio", float("nan"), r"config.json: model.mlp_ratio: expected a finite number, not nan"),
    (CONFIG_FILE, "model.mlp_ratio", 1e300, r"config.json: model.mlp_ratio: 1e\+300 is above 64"),
    (CONFIG_FILE, "model.spacing_mm", [1, 1, float("inf")], r"config.json: model.spacing_mm\[2\]: expected a finite"),
    (CONFIG_FILE, "data.prepared_size", [100_000] * 3, r"config.json: data.prepared_size: .* are more than"),
    (CONFIG_FILE, "model", DEEP, r"config.json: damaged \(nested more than 32 levels deep\); take another checkpoint$"),
    (CONFIG_FILE, "model.unknown", 1, r"config.json: model.unknown: unknown key"),
    (CONFIG_FILE, "text_encoder", [], r"config.json: text_encoder: expected a section with keys below it"),
    (SIZES, "hidden_size", 65_536, r"model.safetensors: does not belong .*\(text_encoder.bert.embeddings.word_embed"),
    (SIZES, "num_hidden_layers", 10_000_000, r"text_encoder.json: cannot be read \(num_hidden_layers: Input should be"),
    (SIZES, "vocab_size", 5, r"text_encoder.json: damaged \(it tells of 5 tokens, and the tokenizer beside it has"),
    ("tokenizer/tokenizer.json", "model.vocab.zzz", 4_000_000_000, r"tokenizer: holds no tokenizer \('zzz' is token 4"),
    ("tokenizer/tokenizer.json", "model", DEEP, r"tokenizer: holds no tokenizer \(.*\); take another checkpoint$"),
    (
        "manifest.json",
        "files",
        {"../../secret": "0"},
        r"manifest.json: damaged \(it names the file '../../secret', and",
    ),
    ("manifest.json", "files", {}, r"model.safetensors: not listed in manifest.json|config.json: not listed in"),
    ("manifest.json", "metrics", DEEP, r"manifest.json: damaged \(not a manifest: nested more than 32 levels deep\)"),
]


@pytest.mark.parametrize(("name", "key", "value", "words"), LIES, ids=lambda given: str(given)[:40])
def test_a_lie_is_told_by_its_file_and_key(
    saved: Saved, tmp_path: Path, name: str, key: str, value: Any, words: str
) -> None:
    copy = copied(saved[0], tmp_path)
    edited(copy, name, key, value)
    message = outcome(lambda: load_simcrop(copy), saved[1])
    assert re.search(words, message), message
    assert "\n" not in message


def test_a_file_beside_those_of_the_tokenizer_is_not_read(saved: Saved, tmp_path: Path) -> None:
    copy = copied(saved[0], tmp_path)
    (copy / "tokenizer/.DS_Store").write_text("")
    assert outcome(lambda: load_simcrop(copy), saved[1]) == ""
    (copy / "tokenizer/added_tokens.json").write_text('{"more": 7}')
    message = outcome(lambda: load_simcrop(copy), saved[1])
    assert message.endswith(
        "tokenizer/added_tokens.json: not listed in manifest.json; remove it, or take another checkpoint"
    )


@pytest.mark.parametrize(
    "content", ["", "../elsewhere", "step_00000003/..", "step_" + "9" * 5000, "a" * 10_000_000, "step_３"]
)
def test_what_names_the_newest_is_the_name_of_a_step(saved: Saved, tmp_path: Path, content: str) -> None:
    copied(saved[0], tmp_path)
    (tmp_path / "latest").write_text(content)
    assert outcome(lambda: load_simcrop(tmp_path), saved[1]) == (
        f"{tmp_path / 'latest'}: damaged (not the name of a step folder); name a step folder beside it"
    )


def test_a_run_begins_with_no_encoder_of_other_sizes(saved: Saved, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    weights = {name[8:]: value for name, value in saved[1].items() if name.startswith("encoder.")}
    for model in ({"embed_dim": 65_000, "num_heads": 1}, {"depth": 200}, {"volume_size": (256, 256, 256)}):
        torch.save({"model": weights, "simcrop": {"model": {**asdict(CONFIG.model), **model}}}, path)
        message = outcome(lambda: load_encoder(path), saved[1])
        assert re.search(r"a.pth: \d+ of the encoder's \d+ tensors are absent or do not fit: ", message), message
