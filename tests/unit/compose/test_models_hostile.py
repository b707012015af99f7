"""Whatever lies in a checkpoint, it is loaded as it was saved, or refused by one line, in little time and memory.

Who can change a file can change its hash in the manifest too, so here all hashes are right.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.bounded import bounded, bounded_memory
from support.hostile import changed_bytes, changed_trees, hash_anew, write_checkpoint
from torch import Tensor, nn

from simcrop.compose.models import load_encoder, load_simcrop
from simcrop.core.errors import SimcropError

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


def check_a_change(saved: tuple[Path, dict[str, Tensor]], folder: Path, name: str, data: st.DataObject) -> None:
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
    saved: tuple[Path, dict[str, Tensor]], tmp_path: Path, name: str, data: st.DataObject
) -> None:
    check_a_change(saved, tmp_path, name, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
@settings(max_examples=1700, suppress_health_check=QUIET, deadline=None)
@given(data=st.data())
def test_ten_thousand_changes(
    saved: tuple[Path, dict[str, Tensor]], tmp_path: Path, name: str, data: st.DataObject
) -> None:
    check_a_change(saved, tmp_path, name, data)
