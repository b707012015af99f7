"""The studies of a run: what is refused, what is left out, and what is never looked at twice."""

import gzip
import logging
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from support.configurations import load
from support.data_folders import chest, write_table, write_volume
from support.trained_run import STEPS, Setting

from simcrop import compose
from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.config.settings import load_config
from simcrop.adapters.sources.checking import check_source
from simcrop.adapters.sources.manifest import ManifestSource
from simcrop.adapters.sources.registry import build_source
from simcrop.adapters.text.tokenizer import train_tokenizer
from simcrop.compose.data import (
    part_of,
    prepare_data,
    tell_sentences,
    text_padding,
    validation_batches,
    verify_prepared,
)
from simcrop.core.data.batch import LONGEST, Padding
from simcrop.core.data.study import Report, Study
from simcrop.core.errors import DataError
from simcrop.core.ports import SingleProcess

NAMES = [f"{number}.nii.gz" for number in range(6)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        write_volume(tmp_path / name, chest(number))
    write_reports(tmp_path)
    return tmp_path


def write_reports(folder: Path, splits: Sequence[str] = ("",) * 6, **findings: str) -> None:
    """The manifest; `findings` says what the report of volume `n0` is."""
    rows = [
        {
            "volume": name,
            "findings": findings.get(f"n{number}", "The heart is normal."),
            "impression": "",
            "split": splits[number],
        }
        for number, name in enumerate(NAMES)
    ]
    write_table(folder / "reports.csv", rows)


def config(folder: Path, *options: str) -> RunConfig:
    path = folder / "run.yaml"
    path.write_text(
        f"data: {{source: manifest, manifest: {folder / 'reports.csv'}, prepared: {folder / 'prepared'}}}\n"
        "model: {volume_size: [16, 16, 16], patch_size: [4, 4, 4], spacing_mm: [3.0, 3.0, 6.0]}\n"
        "objectives: {alignment: {top_k: 2}, late_interaction: {top_k: 2}}\n"
    )
    return load_config(path, list(options))


def used(folder: Path, *options: str) -> list[str]:
    """The volumes that a run would read."""
    data = prepare_data(config(folder, *options))
    return sorted(name for study in [*data.train, *data.held_out] for name in study.reconstructions)


def test_every_good_volume_is_used(folder: Path) -> None:
    assert used(folder) == NAMES


def test_a_damaged_volume_stops_the_run_with_its_reason(folder: Path) -> None:
    (folder / NAMES[1]).write_bytes(b"")
    (folder / NAMES[4]).write_bytes(b"")
    message = rf"{NAMES[1]}: is empty \(0 bytes\); .* \(2 of 6 volumes cannot be used\); .*data.quarantine, or raise"
    with pytest.raises(DataError, match=message):
        prepare_data(config(folder))
    assert used(folder, f"data.quarantine=[{NAMES[1]}, {NAMES[4]}]") == [n for n in NAMES if n not in NAMES[1:5:3]]


def test_a_list_leaves_volumes_and_studies_out_beside_those_in_quarantine(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is left out is never opened, and the log says what the list came to."""
    (folder / NAMES[1]).write_bytes(b"")
    (folder / "list.txt").write_text("dataset/1.nii.gz\n3\n7.nii.gz\n8\n")
    with caplog.at_level(logging.INFO, "simcrop"):
        found = used(folder, f"data.exclude={folder / 'list.txt'}", f"data.quarantine=[{NAMES[5]}]")
    assert found == [NAMES[0], NAMES[2], NAMES[4]]
    ending = "leaves out 2 volumes (1.nii.gz, 3.nii.gz); 2 of its 4 names match nothing here (7.nii.gz, 8)"
    assert f"data.exclude: {folder / 'list.txt'} {ending}" in caplog.messages


def test_a_list_that_leaves_nothing_is_one_line(folder: Path) -> None:
    (folder / "list.txt").write_text("".join(f"scans/{name}\n" for name in NAMES))
    with pytest.raises(DataError, match=r"list.txt: leaves out every study of .*; correct data.exclude"):
        used(folder, f"data.exclude={folder / 'list.txt'}")


def test_a_few_bad_volumes_are_left_out_where_that_is_allowed(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / NAMES[1]).write_bytes(b"")
    with pytest.raises(DataError, match="is empty"):
        prepare_data(config(folder, "data.max_bad_share=0.1"))
    with caplog.at_level(logging.WARNING, "simcrop"):
        assert used(folder, "data.max_bad_share=0.2") == [NAMES[0], *NAMES[2:]]
    assert "1 of 6 volumes cannot be used and are left out, among them" in caplog.text


def test_what_cannot_be_used_moves_nobody_to_the_other_side(folder: Path) -> None:
    share = "data.validation_fraction=0.34"
    whole = prepare_data(config(folder, share))
    assert len(whole.held_out) == 2
    for number in range(6):
        write_reports(folder, **{f"n{number}": ""})
        data = prepare_data(config(folder, share, "data.max_bad_share=0.2"))
        for now, before in ((data.train, whole.train), (data.held_out, whole.held_out)):
            names = [study.study_id for study in before]
            assert [study.study_id for study in now] == [name for name in names if not name.startswith(f"{number}")]


def test_a_bad_volume_is_not_looked_at_again_until_it_changes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / NAMES[1]).write_bytes(b"")
    assert NAMES[1] not in used(folder, "data.max_bad_share=0.2")
    read = ManifestSource.read_volume
    opened: list[str] = []
    monkeypatch.setattr(ManifestSource, "read_volume", lambda self, name: (opened.append(name), read(self, name))[1])
    assert NAMES[1] not in used(folder, "data.max_bad_share=0.2")
    assert opened == []
    write_volume(folder / NAMES[1], chest(1))
    assert used(folder) == NAMES
    assert opened == [NAMES[1]]


def test_what_a_check_called_an_error_is_refused_without_being_read(folder: Path) -> None:
    (folder / NAMES[2]).write_bytes((folder / NAMES[2]).read_bytes()[:-9])
    settings = config(folder)
    source = build_source(settings.data)
    assert check_source(source, [], settings.data.prepared, max_tokens=64, workers=1).num_errors == 1
    with pytest.raises(DataError, match=rf"{NAMES[2]}: is cut off"):
        prepare_data(settings)
    assert not list((folder / "prepared").glob("grid_*"))


def test_a_file_beside_its_unpacked_twin_is_refused(folder: Path) -> None:
    (folder / NAMES[2].removesuffix(".gz")).write_bytes(gzip.decompress((folder / NAMES[2]).read_bytes()))
    with pytest.raises(DataError, match=rf"{NAMES[2]}: lies beside 2.nii; delete one of the two"):
        prepare_data(config(folder))


def test_a_scan_that_a_check_found_in_both_splits_is_refused(folder: Path) -> None:
    write_volume(folder / NAMES[5], chest(0))
    write_reports(folder, splits=["validation" if number == 5 else "train" for number in range(6)])
    settings = config(folder)
    assert used(folder) == NAMES
    check_source(build_source(settings.data), [], settings.data.prepared, max_tokens=64, workers=1)
    with pytest.raises(DataError, match=rf"{NAMES[5]}: holds the same voxels as {NAMES[0]}"):
        prepare_data(settings)
    write_volume(folder / NAMES[5], chest(5))
    assert used(folder) == NAMES


def test_content_that_a_check_refuses_is_refused_here_too(folder: Path) -> None:
    write_volume(folder / NAMES[3], chest(3) + 1024)
    with pytest.raises(DataError, match=rf"{NAMES[3]}: has no lung or air"):
        prepare_data(config(folder))


def test_a_study_without_findings_is_refused_where_reports_are_read(folder: Path) -> None:
    write_reports(folder, n5="")
    with pytest.raises(DataError, match=r"5\.nii\.gz: has neither findings nor impression"):
        prepare_data(config(folder))
    alone = [f"objectives.{term}.weight=0" for term in ("report", "alignment", "late_interaction")]
    assert used(folder, *alone) == NAMES


def test_fillers_alone_are_no_report(folder: Path) -> None:
    write_reports(folder, n5="Not given.")
    with pytest.raises(DataError, match=r"5\.nii\.gz: has neither findings nor impression"):
        prepare_data(config(folder))


def test_a_vocabulary_is_learned_from_what_reports_show(folder: Path) -> None:
    write_reports(folder, n1=r"{\rtf1\ansi\fs20 Lungs clear.\par No effusion.\par}", n2="<p>Heart normal.</p>")
    texts = " ".join(prepare_data(config(folder)).reports())
    assert "rtf" not in texts
    assert "fs20" not in texts
    assert "<p>" not in texts


def test_a_vocabulary_has_plain_texts_and_fillers_as_they_stand(folder: Path) -> None:
    row = {"findings": "Lungs clear.  No effusion.", "impression": "Not given."}
    write_table(folder / "reports.csv", [{**row, "volume": name} for name in NAMES])
    assert set(prepare_data(config(folder)).reports()) == {"Lungs clear.  No effusion.", "Not given."}


def test_a_data_set_without_any_report_says_which_objectives_to_switch_off(folder: Path) -> None:
    write_reports(folder, **{f"n{number}": "" for number in range(6)})
    with pytest.raises(DataError, match=r"data.source: the data set has no reports, which .* set their weights to 0"):
        prepare_data(config(folder))


def test_parts_hold_every_study_once() -> None:
    studies = [Study(f"s{number}", "p", Report("", ""), (f"{number}",)) for number in range(50)]
    parts = [part_of(studies, (number, 4)) for number in range(4)]
    assert sorted(study.study_id for part in parts for study in part) == sorted(study.study_id for study in studies)
    assert min(map(len, parts)) > 5
    assert part_of(studies[1:], (2, 4)) == [study for study in parts[2] if study is not studies[0]]
    assert part_of(studies, (0, 1)) == studies


def test_verifying_names_every_damaged_array(folder: Path) -> None:
    data = prepare_data(config(folder))
    verify_prepared(data)
    for name in NAMES[:2]:
        path = data.prepared.array_file(name)
        path.write_bytes(path.read_bytes()[:-2] + b"xx")
    fresh = prepare_data(config(folder))
    with pytest.raises(DataError, match=r"0\.nii.*: is damaged .* \(and 1 more volumes\)"):
        verify_prepared(fresh)


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


def test_texts_are_padded_to_few_lengths_on_a_gpu_alone(tmp_path: Path) -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    improved, paper = (load(tmp_path, f"recipe: {recipe}") for recipe in ("improved", "paper"))
    assert text_padding(improved, cpu) == text_padding(paper, cpu) == LONGEST
    assert text_padding(improved, gpu) == Padding(tokens=128, sentences=16, max_tokens=256)
    assert text_padding(paper, gpu).sentences == 1, "there padding is a negative, and its number a part of the loss"


def test_what_each_storage_costs_is_told_before_all_is_prepared(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "simcrop"):
        prepare_data(config(folder), compares_storages=True)
    lines = [record.message for record in caplog.records]
    assert [line.partition(":")[0] for line in lines[:2]] == ["data.storage raw", "data.storage blosc2"]
    assert " GB for 6; " in lines[0]
    assert lines[3].startswith("preparing 3 volumes")


@pytest.mark.parametrize(
    ("findings", "level", "said"),
    [
        ("右肺清晰。心脏正常。无积液。", "INFO", "reports: 3.0 sentences each on average"),
        ("lungs clear, heart normal, no effusion", "WARNING", "reports: 1.0 sentences each on average; matching needs"),
    ],
)
def test_sentences_of_a_report_are_told_and_few_are_warned_of(
    caplog: pytest.LogCaptureFixture, findings: str, level: str, said: str
) -> None:
    with caplog.at_level(logging.INFO, "simcrop"):
        tell_sentences([Study("s", "p", Report(findings, ""), ("v",)), Study("t", "p", Report("", "Normal."), ("w",))])
        tell_sentences([])
    (record,) = caplog.records
    assert record.levelname == level
    assert record.message.startswith(said)


def test_volumes_are_kept_as_the_configuration_says(folder: Path) -> None:
    raw, small = prepare_data(config(folder)), prepare_data(config(folder, "data.storage=blosc2"))
    assert raw.prepared.folder != small.prepared.folder
    for name in NAMES:
        assert torch.equal(small.prepared.read(name), raw.prepared.read(name))


@pytest.mark.parametrize(
    ("splits", "options", "cause"),
    [
        (("train",) * 6, [], "the data put all of them into the split train"),
        (("",) * 6, ["data.validation_fraction=0"], "data.validation_fraction=0 of 6 patients is none"),
        (("train",) * 5 + ("val",), ["data.quarantine=[5.nii.gz]"], "the data put all of them into the split train"),
    ],
)
def test_a_run_that_holds_nothing_out_is_warned(
    folder: Path, caplog: pytest.LogCaptureFixture, splits: Sequence[str], options: Sequence[str], cause: str
) -> None:
    write_reports(folder, splits)
    with caplog.at_level(logging.WARNING, logger="simcrop"):
        prepare_data(config(folder, *options))
    (message,) = (record.message for record in caplog.records)
    assert message.startswith("no study is held out of ")
    assert f"{cause}; name validation patients in the column split" in message


def test_a_run_with_held_out_studies_is_not_warned(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="simcrop"):
        assert prepare_data(config(folder)).held_out
    assert caplog.records == []
