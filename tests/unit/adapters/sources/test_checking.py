"""A check tells of everything in one run, remembers what it saw, and needs little memory whatever a file claims."""

import gzip
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import pytest
from support.damage import AFFINE, FileDamage, Hospital, field, nifti_bytes, packed, synthetic_chest, write
from support.data_folders import write_ct_rate, write_table
from support.volume_formats import write_as

import simcrop.adapters.formats.nifti
from simcrop.adapters.problems.verdicts import Verdicts
from simcrop.adapters.sources.bare_folder import FolderSource
from simcrop.adapters.sources.checking import check_folder, check_source
from simcrop.adapters.sources.ct_rate import CTRateSource
from simcrop.adapters.sources.manifest import ManifestSource
from simcrop.core.data.problems import Problem
from simcrop_cli.__main__ import main

BAD: dict[str, tuple[FileDamage, str]] = {
    "empty.nii.gz": (packed(lambda data: b""), "container.empty"),
    "cut.nii.gz": (packed(lambda data: data[:-8]), "container.truncated"),
    "crc.nii.gz": (packed(lambda data: data[:-5] + bytes(1) + data[-4:]), "container.crc"),
    "page.nii.gz": (packed(lambda data: b"<html>"), "container.html"),
    "huge.nii.gz": (field((42, "3h", (32767, 32767, 32767))), "header.dims_huge"),
    "sform.nii.gz": (field((280, "f", (float("nan"),))), "header.affine"),
    "flat.nii.gz": (lambda path: write(path, synthetic_chest() * 0), "content.constant"),
}
KEYS = {"file", "code", "severity", "message", "hint", "values"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven bad files, and two good ones that come first and last."""
    for name in ("a.nii.gz", "z.nii.gz", *BAD):
        write(tmp_path / "data" / name, synthetic_chest(ord(name[0])))
    for name, (damage, _) in BAD.items():
        damage(tmp_path / "data" / name)
    return tmp_path / "data"


def _rows(found: list[Problem] | Any) -> list[dict[str, Any]]:
    return [problem.as_row() for problem in found]


def _simcrop(folder: Path, *arguments: object) -> tuple[int, list[dict[str, Any]]]:
    """Exit status and report of `simcrop data check`, run in the folder's parent."""
    report = folder.parent / "report.jsonl"
    status = main(["data", "check", *map(str, arguments), "--report", str(report), "--workers", "1"])

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    lines = report.read_text(encoding="utf-8").splitlines()
    return status, [json.loads(line, parse_constant=refuse) for line in lines]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The check of a bare folder keeps its verdicts under the current directory.
    monkeypatch.chdir(tmp_path)


def test_a_table_that_breaks_off_does_not_hide_bad_files(tmp_path: Path) -> None:
    data = Hospital.made_in(tmp_path / "data")
    BAD["cut.nii.gz"][0](data.victim)
    data.rows[1]["split"] = "neither"
    write_table(data.table, data.rows)
    with data.table.open("a") as file:
        file.write('scans/9.nii.gz,"')
    found = {problem.code for problem in data.findings()}
    assert {"text.table", "text.value", "container.truncated"} <= found


def test_a_table_that_is_none_and_a_folder_of_nothing_are_reported_too(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    status, rows = _simcrop(tmp_path / "data", tmp_path / "data")
    assert (status, [row["code"] for row in rows]) == (1, ["set.no_studies"])
    table = tmp_path / "data/reports.csv"
    table.write_text("scan,text\n")
    config = tmp_path / "run.yaml"
    config.write_text(f"data: {{source: manifest, manifest: {table}}}\n")
    status, rows = _simcrop(tmp_path / "data", config)
    assert (status, [row["code"] for row in rows]) == (1, ["text.column"])


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_opened(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = _counting_opens(monkeypatch)
    assert main(["data", "check", str(folder), "--workers", "1", "--report", str(folder / "none/x.jsonl")]) == 1
    assert "No such file" in capsys.readouterr().err
    assert opened == []


def _counting_opens(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    opened: list[str] = []
    original = simcrop.adapters.formats.nifti.opened_bytes

    def counting(path: Path, **more: Any) -> Any:
        opened.append(path.name)
        return original(path, **more)

    monkeypatch.setattr(simcrop.adapters.formats.nifti, "opened_bytes", counting)
    return opened


def test_the_second_run_opens_nothing_and_a_touched_file_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = _counting_opens(monkeypatch)
    cache = folder.parent / "cache"
    first = check_folder(folder, cache, workers=1)
    assert len(opened) == len(BAD) + 2
    opened.clear()
    told: list[tuple[int, int]] = []
    second = check_folder(folder, cache, workers=1, progress=lambda done, total: told.append((done, total)))
    assert opened == []
    assert _rows(second.problems) == _rows(first.problems)
    assert told == [(9, 9)]
    os.utime(folder / "a.nii.gz")
    (folder / "cut.nii.gz").write_bytes(gzip.compress(nifti_bytes(synthetic_chest(99))))
    third = {Path(problem.file).name for problem in check_folder(folder, cache, workers=1).problems}
    assert sorted(opened) == ["a.nii.gz", "cut.nii.gz"]
    assert third == set(BAD) - {"cut.nii.gz"}


def test_a_torn_last_line_is_ignored_and_costs_no_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = folder.parent / "cache"
    first = check_folder(folder, cache, workers=1)
    (verdicts,) = cache.glob("checked_*.jsonl")
    verdicts.write_bytes(verdicts.read_bytes()[:-20])
    opened = _counting_opens(monkeypatch)
    assert _rows(check_folder(folder, cache, workers=1).problems) == _rows(first.problems)
    assert opened == ["z.nii.gz"]
    # What was looked at again must not be written into the torn line.
    opened.clear()
    check_folder(folder, cache, workers=1)
    assert opened == []


@pytest.mark.parametrize(
    "line", [b"", b"7", b"null", b"[]", b'{"name": "a"}', b"\xff\xfe", b'{"name": "a", "problems"']
)
def test_lines_that_are_no_verdict_are_ignored(tmp_path: Path, line: bytes) -> None:
    write(tmp_path / "data/a.nii.gz", synthetic_chest())
    check_folder(tmp_path / "data", tmp_path / "cache", workers=1)
    (path,) = (tmp_path / "cache").glob("checked_*.jsonl")
    path.write_bytes(line + b"\n" + path.read_bytes() + line + b"\n")
    assert check_folder(tmp_path / "data", tmp_path / "cache", workers=1).problems == []
    row = json.loads(path.read_bytes().splitlines()[1])
    assert row["name"] == "a.nii.gz"
    assert Verdicts(tmp_path / "cache", FolderSource(tmp_path / "data")).get("a.nii.gz")


def _delete_the_twin(folder: Path) -> None:
    (folder / "a.nii").unlink()


def _move_inside(folder: Path) -> None:
    # A move keeps size and time, which is all that a stamp holds.
    (folder / "a.nii.gz").unlink()
    (folder.parent / "outside.nii.gz").rename(folder / "a.nii.gz")


def _link_out(folder: Path) -> None:
    (folder / "a.nii.gz").rename(folder.parent / "outside.nii.gz")
    (folder / "a.nii.gz").symlink_to(folder.parent / "outside.nii.gz")


@pytest.mark.parametrize(
    ("damage", "code", "repair"),
    [
        (lambda folder: write(folder / "a.nii", synthetic_chest(2)), "container.ambiguous", _delete_the_twin),
        (_link_out, "safety.outside", _move_inside),
    ],
)
@pytest.mark.parametrize("is_known", [False, True])
def test_what_the_stamp_does_not_show_is_not_remembered(
    tmp_path: Path, damage: Callable[[Path], None], code: str, repair: Callable[[Path], None], is_known: bool
) -> None:
    folder, cache = tmp_path / "data", tmp_path / "cache"
    write(folder / "a.nii.gz", synthetic_chest())
    if is_known and code == "container.ambiguous":
        assert check_folder(folder, cache, workers=1).problems == []
    damage(folder)
    for _ in range(2):
        found = {(Path(problem.file).name, problem.code) for problem in check_folder(folder, cache, workers=1).problems}
        assert found == {(path.name, code) for path in folder.iterdir()}
    repair(folder)
    assert check_folder(folder, cache, workers=1).problems == []


def _raw_source(root: Path, intercepts: list[object], told: list[Problem]) -> CTRateSource:
    names = sorted(path.name for path in root.rglob("*.nii.gz"))
    rows = [
        {"VolumeName": name, "RescaleSlope": 1, "RescaleIntercept": intercept}
        for name, intercept in zip(names, intercepts, strict=False)
    ]
    write_table(root / "metadata/train_metadata.csv", rows)
    return CTRateSource(root, hu="raw+csv", on_problem=told.append)


def _raw_ct_rate(root: Path) -> Path:
    write_ct_rate(root, [f"train_{number}_a_1" for number in range(1, 6)])
    for number, path in enumerate(sorted(root.rglob("*.nii.gz"))):
        write(path, synthetic_chest(number) + 1024)
    return root


def test_a_corrected_table_of_scalings_is_looked_at_again(tmp_path: Path) -> None:
    root = _raw_ct_rate(tmp_path / "data")
    seen: list[set[str]] = []
    for intercepts in ([0] * 5, [-1024] * 4, [-1024] * 5):
        told: list[Problem] = []
        source = _raw_source(root, list(intercepts), told)
        found = check_source(source, told, tmp_path / "cache", max_tokens=64, workers=1)
        seen.append({problem.code for problem in found.problems})
    assert seen == [{"content.raw_values"}, {"content.no_scaling"}, set()]


@pytest.mark.parametrize("make", ["folder", "ct_rate"])
def test_processes_find_what_one_process_finds(folder: Path, make: str) -> None:
    found: list[list[dict[str, Any]]] = []
    for workers in (1, 2, 2):
        cache = folder.parent / f"cache_{len(found)}" if len(found) < 2 else folder.parent / "cache_0"
        told: list[Problem] = []
        if make == "folder":
            problems = check_folder(folder, cache, workers=workers).problems
        else:
            root = folder.parent / "raw"
            if not root.exists():
                _raw_ct_rate(root)
            source = _raw_source(root, [-1024, "none", -1024, 0, -1024], told)
            problems = check_source(source, told, cache, max_tokens=64, workers=workers).problems
        found.append(_rows(problems))
    assert found[0]
    assert found[1] == found[0]
    assert found[2] == found[0]


LIMITED = """
import resource, sys, time
from pathlib import Path
import torch
from simcrop.adapters.sources.checking import check_folder
from simcrop.adapters.formats.opening import read_volume
from simcrop.core.data.problems import BadFileError
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + (2 << 30)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = check_folder(Path(sys.argv[1]), Path(sys.argv[2]), workers=1)
for path in (path for end in ("gz", "nrrd", "mha") for path in Path(sys.argv[1]).glob(f"*.{end}")):
    try:
        read_volume(path)
    except BadFileError:
        pass
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
for problem in found.problems:
    print(Path(problem.file).name, problem.code)
print("grown", grown)
"""


def _zeros(num_bytes: int, start: bytes = b"") -> bytes:
    """gzip data that unpack to `start` and then zeros, made without ever holding them."""
    member = gzip.compress(bytes(1 << 26), 9)
    whole, rest = divmod(num_bytes, 1 << 26)
    return gzip.compress(start) + member * whole + gzip.compress(bytes(rest))


def test_memory_stays_small_whatever_a_file_claims(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write(data / "clean.nii.gz", synthetic_chest())
    plain = bytearray(nifti_bytes(synthetic_chest(), AFFINE))
    claims = {
        "cube": ((32767, 32767, 32767), "header.dims_huge"),
        "limit": ((32767, 32767, 2), "container.bomb"),
        "below": ((1290, 1290, 1290), "container.bomb"),
    }
    expected = {}
    for name, (shape, code) in claims.items():
        path = data / f"{name}.nii.gz"
        path.write_bytes(gzip.compress(bytes(plain), 1))
        field((42, "3h", shape))(path)
        expected[path.name] = code
    # 2^31 - 1 is prime, so one axis has to hold it, which NIfTI-2 has room for.
    wide = bytearray(nifti_bytes(synthetic_chest(), kind=nib.Nifti2Image))
    wide[24:48] = b"".join(n.to_bytes(8, "little") for n in (2**31 - 1, 1, 1))
    (data / "prime.nii.gz").write_bytes(gzip.compress(bytes(wide), 1))
    (data / "prime.nii").write_bytes(bytes(wide))
    wide[24:48] = b"".join(n.to_bytes(8, "little") for n in (2**62, 2**62, 2**62))
    (data / "beyond.nii.gz").write_bytes(gzip.compress(bytes(wide), 1))
    # Four gigabytes in four megabytes: behind a header that tells of it, one that does not, and none.
    header = bytearray(plain[:352])
    header[42:48] = b"".join(n.to_bytes(2, "little") for n in (1024, 1024, 2048))
    (data / "told.nii.gz").write_bytes(_zeros(4 << 30, bytes(header)))
    (data / "untold.nii.gz").write_bytes(_zeros(4 << 30, bytes(plain)))
    (data / "none.nii.gz").write_bytes(_zeros(4 << 30))
    # As sparse as the disk allows, and as long as it says.
    with (data / "sparse.nii").open("wb") as file:
        header[42:48] = b"".join(n.to_bytes(2, "little") for n in (1024, 1024, 128))
        file.write(header)
        file.truncate(352 + (1 << 28))
    # The same in the other formats: told of, not told of, and a header that never ends.
    for number, sizes in enumerate((b"1024 1024 2048", b"40 40 24")):
        for suffix, pack in ((".nrrd", gzip.compress), (".mha", zlib.compress)):
            path = write_as(data / f"{number}{suffix}", synthetic_chest(), AFFINE, is_packed=True)
            text = path.read_bytes().replace(b"40 40 24", sizes)
            end = text.index(b"LOCAL\n") + 6 if suffix == ".mha" else text.index(b"\n\n") + 2
            path.write_bytes(text[:end] + pack(bytes(1 << 28), 1))
            expected[path.name] = "container.trailing" if number else "container.bomb"
    for name, start in (("endless.nrrd", b"NRRD0004\ntype: "), ("endless.mha", b"ObjectType = Image\nComment = ")):
        with (data / name).open("wb") as file:
            file.write(start)
            file.truncate(1 << 30)
        expected[name] = "container.truncated" if name.endswith("nrrd") else "container.format"
    expected |= {
        "prime.nii.gz": "container.bomb",
        "prime.nii": "container.truncated",
        "beyond.nii.gz": "header.dims_huge",
        "told.nii.gz": "container.bomb",
        "untold.nii.gz": "container.length",
        "none.nii.gz": "container.format",
        "sparse.nii": "content.constant",
    }
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", LIMITED, str(data), str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    *lines, grown = done.stdout.splitlines()
    notes = {"container.ambiguous", "content.field_of_view"}
    told = dict(line.split() for line in lines if line.split()[1] not in notes)
    assert told == expected
    # 100 MB, in KiB; a chunk is one, and what numpy makes of it a few more.
    assert int(grown.split()[1]) < 100 << 10


@pytest.mark.parametrize(
    ("column", "value", "fraction", "is_told"),
    [
        ("patient_id", "p", 0.25, True),
        ("patient_id", "nan", 0.25, False),
        ("split", "train", 0.25, True),
        ("split", "", 0.0, True),
        ("split", "", 0.25, False),
        ("split", "", None, False),
    ],
)
def test_data_of_which_a_run_holds_nothing_out_are_told(
    tmp_path: Path, column: str, value: str, fraction: float | None, is_told: bool
) -> None:
    data = Hospital.made_in(tmp_path / "data")
    write_table(data.table, [row | {"split": "", column: value} for row in data.rows])
    source = ManifestSource(data.table)
    found = check_source(source, [], tmp_path / "cache", max_tokens=64, workers=1, held_out_fraction=fraction)
    told = [problem for problem in found.problems if problem.code == "set.nothing_held_out"]
    assert [problem.severity for problem in told] == ["note"] * is_told
