"""Whole runs of four steps on eight small studies, and what can be loaded from them."""

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.bert import write_bert
from support.tiny_data import SENTENCES, write_config

import simcrop
from simcrop import compose
from simcrop.adapters.config.settings import load_config
from simcrop.adapters.system.provenance import weights_sha256
from simcrop.adapters.text.tokenizer import train_tokenizer
from simcrop.compose.data import validation_batches
from simcrop.core.data.batch import padded
from simcrop.core.errors import BackendError, CheckpointError, ConfigError, DataError, InputError
from simcrop.core.ports import SingleProcess

STEPS = ("train.steps=4", "train.warmup_steps=1", "train.checkpoint_every=2", "train.evaluate_every=2")


@dataclass(frozen=True)
class Setting:
    """A configuration file, and the run that was trained with it."""

    yaml: Path
    out: Path

    def train(self, out: Path | None = None, *options: str, **arguments: Any) -> compose.TrainResult:
        config = load_config(self.yaml, [*STEPS, *options])
        return compose.train(config, out=out or self.out, **arguments)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    """A finished run; tests only read it."""
    folder = tmp_path_factory.mktemp("compose")
    setting = Setting(write_config(folder), folder / "run")
    result = setting.train()
    assert result == compose.TrainResult(setting.out, 4, finished=True)
    return setting


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def exact_rows(out: Path) -> list[dict[str, Any]]:
    """Rows without what the clock decides."""
    return [{k: v for k, v in row.items() if k not in ("studies_per_second", "data_wait")} for row in rows(out)]


def test_a_run_leaves_the_documented_folder(done: Setting) -> None:
    names = {path.name.split(".tfevents")[0] for path in done.out.iterdir()}
    assert names == {"config.yaml", "metrics.jsonl", "summary.json", "events.out", "pictures", "checkpoints"}
    assert {path.name for path in (done.out / "checkpoints").iterdir()} >= {"latest", "best", "step_00000004"}
    assert (done.out / "pictures" / "step_00000004_reconstruction.png").stat().st_size > 1000
    assert load_config(done.out / "config.yaml") == load_config(done.yaml, STEPS)


def test_rows_have_the_documented_keys(done: Setting) -> None:
    terms = ["loss_reconstruction", "loss_report", "loss_alignment", "loss_late_interaction"]
    keys = ["step", "loss", *terms, "lr", "grad_norm", "studies_per_second", "data_wait", "num_cut"]
    held_out = ["validation_loss", *(f"validation_{term}" for term in terms)]
    assert [list(row) for row in rows(done.out)] == [keys, [*keys, *held_out]] * 2


def test_the_summary_has_the_documented_keys(done: Setting) -> None:
    summary = json.loads((done.out / "summary.json").read_text())
    assert summary["step"] == 4
    assert summary["loss"] == rows(done.out)[-1]["loss"]
    assert summary["validation_loss"] == rows(done.out)[-1]["validation_loss"]
    assert {"grounding_hit_rate", "grounding_chance", "probe_auroc", "probe_auroc_untrained"} <= summary.keys()
    assert {"probe_auroc_voxels", "probe_num_labelled"} <= summary.keys()
    assert summary["wall_time_s"] > 0
    assert summary["peak_memory_mb"]["cpu"] > 100
    assert summary["num_held_out"] == 2


def test_a_checkpoint_says_where_it_comes_from(done: Setting) -> None:
    manifest = json.loads((done.out / "checkpoints" / "step_00000004" / "manifest.json").read_text())
    assert manifest["step"] == 4
    assert manifest["versions"]["torch"] == torch.__version__
    assert {"git_commit", "files", "metrics"} <= manifest.keys()
    assert len(manifest["data_fingerprint"]) == 64
    assert manifest["text_encoder"] is None


def test_a_finished_run_says_so_and_changes_nothing(done: Setting, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in done.out.rglob("*")}
    result = done.train()
    assert result == compose.TrainResult(done.out, 4, finished=True)
    assert "finished at step 4; raise train.steps" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in done.out.rglob("*")} == before


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(done: Setting, tmp_path: Path) -> None:
    asked = iter([False, True])
    assert done.train(tmp_path, should_stop=lambda: next(asked)) == compose.TrainResult(tmp_path, 2, finished=False)
    assert not (tmp_path / "summary.json").exists()
    result = done.train(tmp_path, "data.num_workers=1")
    assert result.finished
    exact = [key for key in rows(done.out)[0] if key not in ("studies_per_second", "data_wait")]
    assert [[row[key] for key in exact] for row in rows(tmp_path)] == [
        [row[key] for key in exact] for row in rows(done.out)
    ]
    ends = [json.loads((out / "summary.json").read_text()) for out in (tmp_path, done.out)]
    assert ends[0]["probe_auroc_untrained"] == ends[1]["probe_auroc_untrained"]


def test_more_steps_continue_a_finished_run_in_another_folder(done: Setting, tmp_path: Path) -> None:
    result = done.train(tmp_path, "train.steps=5", resume=str(done.out))
    assert result.step == 5
    assert [row["step"] for row in rows(tmp_path)] == [5]


@pytest.mark.parametrize("option", ["model.depth=2", "objectives.report.weight=0.5", "data.augment.shift=0.2"])
def test_a_changed_key_is_refused_by_name_before_any_work(done: Setting, option: str) -> None:
    with pytest.raises(CheckpointError, match=rf"^{option.split('=', maxsplit=1)[0]}: .*differs"):
        done.train(None, "train.steps=6", option)


def test_a_changed_report_is_refused(done: Setting, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(done.yaml.parent, moved)
    manifest = moved / "studies" / "studies.csv"
    manifest.write_text(manifest.read_text().replace(SENTENCES[0], "Nothing is seen."))
    yaml = moved / "tiny.yaml"
    config = load_config(yaml, [*STEPS, "train.steps=6"])
    shutil.copy(manifest, config.data.manifest)
    try:
        with pytest.raises(CheckpointError, match=r"^data: the studies, their reports"):
            compose.train(config, out=moved / "run")
    finally:
        manifest.write_text(manifest.read_text().replace("Nothing is seen.", SENTENCES[0]))
        shutil.copy(manifest, config.data.manifest)


def test_a_model_is_loaded_ready_to_use(done: Setting) -> None:
    model = simcrop.load_model(done.out)
    saved = load_file(done.out / "checkpoints" / "step_00000004" / "model.safetensors")
    assert saved.keys() == model.state_dict().keys()
    assert all(torch.equal(saved[name], value) for name, value in model.state_dict().items())
    assert not model.training
    assert model.tokenizer is not None
    words = model.tokenizer.encode(list(SENTENCES[:2]), max_tokens=48)
    assert max(words.sentence_of_token) == 1
    features = model.sentence_features(padded([words], model.tokenizer.pad_id), 2)
    assert features.shape == (1, 2, 16)


def test_an_encoder_is_loaded_and_reads_any_type_and_size(done: Setting) -> None:
    encoder = simcrop.load_encoder(done.out / "checkpoints" / "step_00000004")
    assert (encoder.spacing_mm, encoder.window, encoder.volume_size) == ((2.0,) * 3, (-1000.0, 1000.0), (16, 16, 16))
    volume = torch.randint(0, 200, (2, 1, 16, 16, 16))
    tokens = encoder.encode(volume)
    assert tokens.shape == (2, 65, 24)
    for dtype in (torch.uint8, torch.int16, torch.float64):
        torch.testing.assert_close(encoder.encode(volume.to(dtype)), tokens)
    assert torch.equal(tokens, simcrop.load_model(done.out).encoder.encode(volume))
    assert encoder.encode(volume[..., :8]).shape == (2, 33, 24)
    torch.testing.assert_close(encoder.norm(encoder.encode(volume, normalized=False)), tokens)
    with pytest.raises(InputError):
        encoder.encode(volume[..., :7])


def test_a_damaged_checkpoint_is_not_loaded(done: Setting, tmp_path: Path) -> None:
    folder = tmp_path / "step_00000004"
    shutil.copytree(done.out / "checkpoints" / "step_00000004", folder)
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    for load in (simcrop.load_model, simcrop.load_encoder):
        with pytest.raises(CheckpointError, match="damaged"):
            load(folder)


def test_a_frozen_text_encoder_is_recorded_and_checked_but_not_copied(done: Setting, tmp_path: Path) -> None:
    bert, out = tmp_path / "bert", tmp_path / "run"
    write_bert(bert, seed=0)
    done.train(out, f"text_encoder.source={bert}", "train.steps=2")
    folder = out / "checkpoints" / "step_00000002"
    assert not [name for name in load_file(folder / "model.safetensors") if name.startswith("text_encoder.")]
    record = json.loads((folder / "manifest.json").read_text())["text_encoder"]
    assert (record["source"], record["revision"], len(record["sha256"])) == (str(bert), None, 64)
    model = compose.load_model(out)
    assert model.text_encoder is not None
    assert record["sha256"] == weights_sha256(model.text_encoder)
    write_bert(bert, seed=1)
    with pytest.raises(CheckpointError, match=r"^text_encoder.source: .*bert has weights of sha256 .*; provide those"):
        compose.load_model(out)


def test_what_a_frozen_encoder_makes_of_the_findings_is_computed_once(done: Setting, tmp_path: Path) -> None:
    bert = tmp_path / "bert"
    write_bert(bert, seed=0)
    options = (f"text_encoder.source={bert}", f"data.prepared={tmp_path / 'prepared'}", "train.steps=2")
    done.train(tmp_path / "kept", *options)
    [folder] = (tmp_path / "prepared").glob("findings_*")
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(times) > 4
    done.train(tmp_path / "again", *options)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == times
    assert exact_rows(tmp_path / "again") == exact_rows(tmp_path / "kept")
    done.train(tmp_path / "read", *options, "text_encoder.keep_findings=false")
    for kept, read in zip(rows(tmp_path / "kept"), rows(tmp_path / "read"), strict=True):
        for key in (key for key in kept if "loss" in key):
            assert kept[key] == pytest.approx(read[key], rel=2e-3), key
            assert "late" not in key or kept[key] != read[key], "the kept features were not used"


def test_a_text_encoder_that_was_trained_on_is_stored(done: Setting, tmp_path: Path) -> None:
    bert, out = tmp_path / "bert", tmp_path / "run"
    write_bert(bert, seed=0)
    done.train(out, f"text_encoder.source={bert}", "text_encoder.frozen=false", "train.steps=2")
    shutil.rmtree(bert)
    model = compose.load_model(out)
    saved = load_file(out / "checkpoints" / "step_00000002" / "model.safetensors")
    assert any(name.startswith("text_encoder.") for name in saved)
    assert all(torch.equal(saved[name], value) for name, value in model.state_dict().items())


def test_volumes_that_have_no_report_are_trained_on_by_reconstruction_alone(done: Setting, tmp_path: Path) -> None:
    table = done.yaml.parent / "studies" / "studies.csv"
    lines = list(csv.DictReader(table.open()))
    silent = table.with_name("silent.csv")
    with silent.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows([{**line, "findings": ""} for line in lines])
    options = [f"data.manifest={silent}", "train.steps=2", f"data.prepared={tmp_path / 'prepared'}"]
    with pytest.raises(DataError, match="the data set has no reports"):
        done.train(tmp_path / "run", *options)
    off = [f"objectives.{term}.weight=0" for term in ("report", "alignment", "late_interaction")]
    done.train(tmp_path / "run", *options, *off)
    assert [key for key in rows(tmp_path / "run")[-1] if key.startswith("loss_")] == ["loss_reconstruction"]
    assert compose.load_model(tmp_path / "run").tokenizer is not None


def test_without_reports_and_started_from_another_run(done: Setting, tmp_path: Path) -> None:
    start, out = tmp_path / "start", tmp_path / "run"
    shutil.copytree(done.out, start)
    off = [f"objectives.{term}.weight=0" for term in ("report", "alignment", "late_interaction")]
    config = load_config(done.yaml, [*STEPS, *off, f"model.init={start}"])
    untrained, _ = compose.build_model(config, reports=lambda: list(SENTENCES))
    trained = compose.load_encoder(start).state_dict()
    assert all(torch.equal(trained[name], value) for name, value in untrained.encoder.state_dict().items())
    done.train(out, *off, f"model.init={start}", "train.steps=2")
    shutil.rmtree(start)
    model = compose.load_model(out)
    assert model.text_encoder is None
    assert [key for key in rows(out)[0] if key.startswith("loss")] == ["loss", "loss_reconstruction"]


def test_compiled_blocks_keep_their_names_and_recomputing_changes_no_number(
    done: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[torch.nn.Module] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda block: compiled.append(block))  # noqa: PLW0108 (a bound method would get no block)
    done.train(tmp_path, "train.activation_checkpointing=true", "train.compile=true")
    assert len(compiled) == 2
    assert [row["loss"] for row in rows(tmp_path)] == [row["loss"] for row in rows(done.out)]


CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_operations_are_chosen_by_name(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simcrop.kernels.support.is_interpreted", lambda: False)
    assert compose.select_ops("reference", CUDA).name == "reference"
    with caplog.at_level("INFO"):
        assert compose.select_ops("auto", CPU).name == "reference"
    assert "operations: reference (plain torch), since the device is cpu" in caplog.text
    with pytest.raises(BackendError, match=r"train.ops: triton cannot run here: .*; write auto or reference"):
        compose.select_ops("triton", CPU)


def test_a_gpu_gets_the_kernels_without_being_asked(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons: list[str] = []
    monkeypatch.setattr("simcrop.kernels.why_not", lambda device: reasons)
    with caplog.at_level("INFO"):
        assert compose.select_ops("auto", CUDA).name == "triton"
        reasons.append("Tesla T4 has compute capability 7.5, below 8.0")
        assert compose.select_ops("auto", CUDA).name == "reference"
    assert "operations: Triton kernels" in caplog.text
    assert "operations: reference (plain torch), since Tesla T4 has compute capability 7.5" in caplog.text


@pytest.mark.skipif(torch.cuda.is_available(), reason="kernels take CPU tensors in Triton's interpreter only")
def test_training_with_the_kernels_is_the_same_and_either_continues_the_other(done: Setting, tmp_path: Path) -> None:
    """In Triton's interpreter: the first step, and the third from the reference's checkpoint."""
    kernels = ("train.ops=triton", "train.evaluate_every=100")
    done.train(tmp_path / "from the start", *kernels, "train.steps=1", "train.warmup_steps=0")
    done.train(tmp_path / "continued", *kernels, "train.steps=3", resume=str(done.out / "checkpoints/step_00000002"))
    ours = [*rows(tmp_path / "from the start"), *rows(tmp_path / "continued")]
    assert [row["step"] for row in ours] == [1, 3]
    for row, wanted in zip(ours, rows(done.out)[::2], strict=True):
        for term in ("loss", "loss_reconstruction", "loss_report", "loss_alignment", "loss_late_interaction"):
            assert row[term] == pytest.approx(wanted[term], rel=1e-4), (row["step"], term)
        assert row["grad_norm"] == pytest.approx(wanted["grad_norm"], rel=1e-3)


def test_too_few_studies_for_a_batch_is_one_line(done: Setting, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"train.batch_size: 7 are more than the 6 training studies"):
        done.train(tmp_path, "train.batch_size=7")


def test_nothing_left_to_train_on_stops_training_but_no_evaluation(done: Setting) -> None:
    studies = done.yaml.parent / "studies"
    table = studies / "all_held_out.csv"
    table.write_text((studies / "studies.csv").read_text().replace("train", "validation"))
    config = load_config(done.yaml, [*STEPS, f"data.manifest={table}"])
    with pytest.raises(DataError, match=r"all 8 studies are held out, none is left to train on"):
        compose.prepare_data(config)
    assert len(compose.prepare_data(config, for_training=False).held_out) == 8


def test_ranks_share_the_held_out_batches_and_can_read_them_again(done: Setting) -> None:
    class SecondOfTwo(SingleProcess):
        rank, world_size = 1, 2

    class FirstOfTwo(SingleProcess):
        world_size = 2

    config = load_config(done.yaml, [*STEPS, "train.batch_size=1"])
    data = compose.prepare_data(config)
    tokenizer = train_tokenizer(data.reports(), vocab_size=128, max_tokens=48)
    shares = [
        validation_batches(config, data, tokenizer, data.held_out, communicator)
        for communicator in (FirstOfTwo(), SecondOfTwo(), SingleProcess())
    ]
    for _ in range(2):
        first, second, both = ([batch.inputs.study_ids for batch in share] for share in shares)
        assert first + second == both == [("s6",), ("s7",)]


def test_phantoms_are_made_where_they_are_missing(tmp_path: Path) -> None:
    yaml = tmp_path / "phantom.yaml"
    yaml.write_text(
        f"data: {{cases: 4, root: {tmp_path}/chests, prepared: {tmp_path}/prepared, validation_fraction: 0.5}}\n"
        "train: {batch_size: 1}\n"
    )
    data = compose.prepare_data(load_config(yaml))
    assert len(data.train) + len(data.held_out) == 4
    assert data.held_out
    assert data.prepared.read(data.train[0].reconstructions[0]).shape == (110, 110, 55)
    assert any(report for report in data.reports())


def test_what_the_package_offers_is_imported_when_asked_for() -> None:
    code = (
        "import sys, simcrop; heavy = {'torch', 'transformers', 'triton'};"
        "assert not heavy & set(sys.modules); assert 'load_model' in dir(simcrop);"
        "print(simcrop.split_sentences('One. Two.'), simcrop.__version__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"['One.', 'Two.'] {simcrop.__version__}\n"
    with pytest.raises(AttributeError, match="no attribute 'load_modle'"):
        simcrop.load_modle  # noqa: B018
