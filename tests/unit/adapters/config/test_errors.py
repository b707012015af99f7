"""Lines that refuse a wrong key or value, and guess what was meant."""

from pathlib import Path

import pytest
from support.configurations import load, message

from simcrop.adapters.config.settings import load_config
from simcrop.core.errors import ConfigError

TORCHRUN = "a GPU is a process: torchrun --nproc-per-node N -m simcrop_cli train CONFIG"


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("train.learning_rate", "did you mean train.lr?"),
        ("finetune.learning-rate", "did you mean finetune.lr?"),
        ("learning_rate", "did you mean train.lr?"),
        ("train.epochs", "simcrop counts steps, not epochs; did you mean train.steps?"),
        ("epochs", "simcrop counts steps, not epochs; did you mean train.steps?"),
        ("segment.epochs", "simcrop counts steps, not epochs; did you mean segment.steps?"),
        ("train.gpus", TORCHRUN),
        ("devices", TORCHRUN),
        ("data.workers", "did you mean data.num_workers?"),
        ("train.num_worker", "did you mean data.num_workers?"),
        ("train.num_workers", "did you mean data.num_workers?"),
        ("train.batchsize", "did you mean train.batch_size?"),
        ("data.batch", "did you mean train.batch_size?"),
        ("retrieval.zzz", "known here: protocol, distinct, top, weights, features, ..."),
        ("train.zzz", "known here: steps, batch_size, optimizer, lr, min_lr, ..."),
    ],
)
def test_what_other_programs_call_a_key_is_understood(tmp_path: Path, key: str, hint: str) -> None:
    assert message(tmp_path, "", f"{key}=3") == f"--set: {key}: unknown key; {hint}"


@pytest.mark.parametrize("value", ["four", "2.5", "null", "[1]"])
def test_a_number_or_a_word_is_asked_for_in_one_line(tmp_path: Path, value: str) -> None:
    line = message(tmp_path, "", f"data.num_workers={value}")
    assert line.startswith("--set: data.num_workers: expected a whole number or auto, not ")
    assert load(tmp_path, "", "data.num_workers=auto").data.num_workers == "auto"
    assert load(tmp_path, "", "data.num_workers=4").data.num_workers == 4
    assert message(tmp_path, "", "data.num_workers=-1") == "--set: data.num_workers: -1 is below 0"


def test_padding_is_one_number_or_several(tmp_path: Path) -> None:
    assert load(tmp_path, "", "data.padding_value=-2000").data.padding_value == -2000
    assert load(tmp_path, "", "data.padding_value=[-2000, -3024]").data.padding_value == (-2000, -3024)
    for value in ("air", "[air]"):
        line = message(tmp_path, "", f"data.padding_value={value}")
        assert line.startswith("--set: data.padding_value: expected a number, not ")


@pytest.mark.parametrize("value", ["maybe", "2", "null"])
def test_yes_no_or_a_word_is_asked_for_in_one_line(tmp_path: Path, value: str) -> None:
    line = message(tmp_path, "", f"train.compile={value}")
    assert line.startswith("--set: train.compile: expected true or false or auto, not ")
    assert load(tmp_path, "", "train.compile=auto").train.compile == "auto"
    assert load(tmp_path, "", "train.compile=true").train.compile is True


def test_aliases_inside_aliases_are_refused_in_one_short_line(tmp_path: Path) -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    path = tmp_path / "run.yaml"
    path.write_text("data:\n  cases:\n" + "\n".join(f"    {level}" for level in levels), encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        load_config(path)
    assert len(str(refused.value)) < 400 + len(str(path))
