"""Whole runs of four steps on eight small studies, and what can be loaded from them."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.bert import write_bert
from support.tiny_data import SENTENCES
from support.trained_run import STEPS, Setting, rows

from simcrop import compose
from simcrop.adapters.config.settings import load_config
from simcrop.core.errors import CheckpointError, ConfigError, DataError


def exact_rows(out: Path) -> list[dict[str, Any]]:
    """Rows without what the clock decides."""
    return [{k: v for k, v in row.items() if k not in ("studies_per_second", "data_wait")} for row in rows(out)]


def test_a_run_leaves_the_documented_folder(done: Setting) -> None:
    names = {path.name.split(".tfevents")[0] for path in done.out.iterdir()}
    assert names == {
        "config.yaml",
        "metrics.jsonl",
        "summary.json",
        "events.out",
        "pictures",
        "checkpoints",
        "report.html",
        "references.safetensors",
    }
    assert {path.name for path in (done.out / "checkpoints").iterdir()} >= {"latest", "best", "step_00000004"}
    assert (done.out / "pictures" / "step_00000004_reconstruction.png").stat().st_size > 1000
    assert load_config(done.out / "config.yaml") == load_config(done.yaml, STEPS)


def test_rows_have_the_documented_keys(done: Setting) -> None:
    terms = ["loss_reconstruction", "loss_report", "loss_alignment", "loss_late_interaction"]
    keys = ["step", "loss", *terms, "lr", "grad_norm", "studies_per_second", "data_wait", "num_cut"]
    held_out = ["validation_loss", *(f"validation_{term}" for term in terms), "rank_sentences", "rank_volumes"]
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
    (tmp_path / "pictures").mkdir(exist_ok=True)
    for draft in (".summary.json.0a1b2c3d.draft", "pictures/.step_00000004_curves.png.0a1b2c3d.draft"):
        (tmp_path / draft).touch()  # as a kill leaves them
    result = done.train(tmp_path, "data.num_workers=1")
    assert result.finished
    assert not [*tmp_path.glob("**/.*.draft")]
    exact = [key for key in rows(done.out)[0] if key not in ("studies_per_second", "data_wait")]
    assert [[row[key] for key in exact] for row in rows(tmp_path)] == [
        [row[key] for key in exact] for row in rows(done.out)
    ]
    ends = [json.loads((out / "summary.json").read_text()) for out in (tmp_path, done.out)]
    assert ends[0]["probe_auroc_untrained"] == ends[1]["probe_auroc_untrained"]


def test_a_data_worker_that_dies_during_a_step_is_told_in_one_line(done: Setting, tmp_path: Path) -> None:
    def dies() -> bool:
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")

    with pytest.raises(DataError, match=r"^data\.num_workers: a data worker was ended by the system"):
        done.train(tmp_path, should_stop=dies)


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


def test_compiled_blocks_keep_their_names_and_recomputing_changes_no_number(
    done: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled, compile_ = [], torch.compile

    def without_code(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        compiled.append(function)
        return compile_(function, backend="eager", **options)

    monkeypatch.setattr(torch, "compile", without_code)
    done.train(tmp_path, "train.activation_checkpointing=true", "train.compile=true")
    assert len(compiled) == 2
    assert compose.load_model(tmp_path).state_dict().keys() == compose.load_model(done.out).state_dict().keys()
    assert [row["loss"] for row in rows(tmp_path)] == [row["loss"] for row in rows(done.out)]


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


@pytest.mark.skipif(torch.cuda.is_available(), reason="kernels take CPU tensors in Triton's interpreter only")
def test_steps_that_are_compared_as_a_whole_go_on_after_a_stop_and_with_the_kernels(
    done: Setting, tmp_path: Path
) -> None:
    options = ("train.accumulate=2", "train.contrast=step", "train.steps=2", "train.warmup_steps=0")
    asked = iter([True])
    assert not done.train(tmp_path / "stopped", *options, should_stop=lambda: next(asked, False)).finished
    done.train(tmp_path / "stopped", *options)
    done.train(tmp_path / "whole", *options)
    assert exact_rows(tmp_path / "stopped") == exact_rows(tmp_path / "whole")
    done.train(tmp_path / "kernels", *options, "train.ops=triton", "train.steps=1", "train.evaluate_every=100")
    wanted, (ours,) = exact_rows(tmp_path / "whole")[0], exact_rows(tmp_path / "kernels")
    for name in ("loss", "loss_alignment", "loss_late_interaction"):
        assert ours[name] == pytest.approx(wanted[name], rel=1e-4), name
    assert ours["grad_norm"] == pytest.approx(wanted["grad_norm"], rel=1e-3)


def test_too_few_studies_for_a_batch_is_one_line(done: Setting, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"train.batch_size: 7 are more than the 6 training studies"):
        done.train(tmp_path, "train.batch_size=7")
