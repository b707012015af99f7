"""Headers of .safetensors files that lie, and models that their tensors do not belong to."""

import json
import os
import re
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from support.bounded import bounded
from torch import nn

from simcrop.adapters.checkpoints.tensor_files import (
    StoredTensor,
    check_names,
    load_tensors,
    require_fit,
    stored_tensors,
)
from simcrop.core.errors import CheckpointError


def tensor(dtype: str = "F32", shape: Any = (1,), offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def made(header: Any, data: bytes = b"1234", *, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


ONE = json.dumps(tensor())
LIES = {
    "nothing": b"",
    "no header": b"1234567",
    "a header of 2^62 bytes": made({"a": tensor()}, length=1 << 62),
    "a header behind the end": made({"a": tensor()}, length=200),
    "a shape of 2^40": made({"a": tensor(shape=[1 << 40])}),
    "a shape whose product has no number": made({"a": tensor(shape=[1 << 33, 1 << 33])}),
    "a negative shape": made({"a": tensor(shape=[-1])}),
    "a shape of text": made({"a": tensor(shape="1")}),
    "offsets that overlap": made({"a": tensor(), "b": tensor()}),
    "offsets behind the end": made({"a": tensor(shape=[1 << 58], offsets=[0, 1 << 60])}),
    "offsets that leave a hole": made({"a": tensor(), "b": tensor(offsets=[8, 12])}, b"12" * 6),
    "a name twice": made(f'{{"a": {ONE}, "a": {ONE.replace("[0, 4]", "[4, 8]")}}}'.encode(), b"12341234"),
    "an unknown type": made({"a": tensor(dtype="X")}),
    "200,000 levels": made(b'{"a":' * 200_000),
    "no object": made([1]),
    "no text": made(b'{"\xff": 1}'),
    "a name with a line break": made({"a\nb": tensor()}),
    "a name without an end": made({"a" * 100_000: tensor()}),
}


@pytest.mark.parametrize("content", LIES.values(), ids=LIES)
def test_a_header_that_lies_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    for read in (stored_tensors, load_tensors):
        with bounded(30), pytest.raises(CheckpointError) as raised:
            read(path, "do that")
        message = str(raised.value)
        assert re.fullmatch(rf"{re.escape(str(path))}: (cannot be read|damaged) \(.+\); do that", message)
        assert len(message) < len(str(path)) + 400


def test_a_header_is_never_larger_than_that_of_a_model(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 90_000_000))
        file.truncate(100_000_000)
    with pytest.raises(CheckpointError, match=r"its header is to have 90,000,000 bytes, and the file has 100,000,000"):
        stored_tensors(path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.safetensors")
    with bounded(30), pytest.raises(CheckpointError, match="no regular file"):
        stored_tensors(tmp_path / "a.safetensors")
    with pytest.raises(
        CheckpointError, match=r"absent.safetensors: cannot be read \(No such file or directory\); take"
    ):
        load_tensors(tmp_path / "absent.safetensors")


def test_shapes_are_told_without_the_tensors(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2, 3), "b": torch.ones(1, dtype=torch.int64)}, tmp_path / "a.safetensors")
    stored = stored_tensors(tmp_path / "a.safetensors")
    assert stored == {"a": StoredTensor((2, 3), "F32"), "b": StoredTensor((1,), "I64")}
    assert [stored[name].is_floating_point for name in "ab"] == [True, False]
    assert torch.equal(load_tensors(tmp_path / "a.safetensors")["a"], torch.ones(2, 3))
    check_names(tmp_path, ["encoder.µ"])


def test_tensors_fit_the_model_that_is_described_beside_them() -> None:
    with torch.device("meta"):
        model = nn.Linear(1 << 20, 1 << 20)
    whole = {"weight": StoredTensor((1 << 20, 1 << 20), "BF16"), "bias": StoredTensor((1 << 20,), "F32")}
    require_fit(Path("w"), whole, model)
    require_fit(Path("w"), {"weight": whole["weight"]}, model, left_out=("bi",))
    wrong = {
        "bias is absent": {"weight": whole["weight"]},
        r"bias is \(7,\), not \(1048576,\)": whole | {"bias": StoredTensor((7,), "F32")},
        "bias is of type I64": whole | {"bias": StoredTensor((1 << 20,), "I64")},
        "bias is of type F8_E4M3": whole | {"bias": StoredTensor((1 << 20,), "F8_E4M3")},
        "more is unknown": whole | {"more": StoredTensor((), "F32")},
    }
    for message, stored in wrong.items():
        with pytest.raises(CheckpointError, match=rf"^w: does not belong to the model .* \({message}\); do that$"):
            require_fit(Path("w"), stored, model, remedy="do that")
