"""Whatever bytes a file holds: a check ends with findings or without, and with nothing else."""

import gzip
import json
import re
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.bounded import bounded
from support.damage import AFFINE, FINDINGS, Hospital, check_manifest, nifti_bytes, synthetic_chest, write
from support.data_folders import write_ct_rate, write_table

from simcrop.adapters.config.settings import load_config
from simcrop.adapters.formats.opening import inspect_volume, read_volume
from simcrop.adapters.sources.checking import check_source
from simcrop.adapters.sources.ct_rate import CTRateSource
from simcrop.adapters.sources.registry import build_source
from simcrop.core.data.problems import BadFileError, Problem
from simcrop.core.errors import ConfigError, DataError

FEW, MANY = 125, 2500
MOST_SECONDS, MOST_MEGABYTES = 20, 200
SMALL, WIDE = synthetic_chest()[::2, ::2, ::2], AFFINE @ np.diag([2.0, 2, 2, 1])
NUMBERS = (0.0, -1.0, 1.0, 1e-30, 1e30, 3e38, -3e38, float("nan"), float("inf"), -float("inf"))
WHOLE = (0, 1, -1, 2, 3, 7, 8, 348, 540, 32767, -32768, 2**31 - 1, -(2**31), 2**63 - 1)
BASES = [nifti_bytes(SMALL, WIDE), nifti_bytes(SMALL.astype("f4"), WIDE), nifti_bytes(SMALL, WIDE, nib.Nifti2Image)]
SCRAPS = b"\" ' , / ../ .nii .nii.gz { [ &a *a !!python/object | # ~ -1 1e999 nan".split()
SCRAPS += [b"\n", b"\r", b"\t", b"\0", b"\xff", b"\xef\xbb\xbf", b": ", b"- ", b"A" * 400]
CONFIG = """\
data:
  source: manifest
  manifest: data/reports.csv
  padding_value: -8192
  validation_fraction: 0.25
  quarantine: [scans/3.nii.gz]
  prepared_size: [18, 18, 18]
model: {volume_size: [16, 16, 16], patch_size: [4, 4, 4], embed_dim: 24, depth: 1, num_heads: 2}
text_encoder:
  source: scratch
  max_tokens: 48
train: {steps: 40, batch_size: 2, lr: 1.5e-4}
"""

Change = tuple[str, int, bytes]


def _edits(scraps: list[bytes], most: int = 3) -> st.SearchStrategy[list[Change]]:
    """One to `most` changes: bytes to flip, put in, write over, take out or double at a place, or the end cut off."""
    text = st.sampled_from(scraps) | st.binary(min_size=1, max_size=8)
    kinds = st.sampled_from([*["flip", "insert", "write", "delete", "double"] * 3, "cut"])
    return st.lists(st.tuples(kinds, st.integers(0, 2**16), text), min_size=1, max_size=most)


def _edited(data: bytes, changes: list[Change]) -> bytes:
    for kind, number, text in changes:
        place = number % (len(data) + 1)
        before, behind = data[:place], data[place:]
        if kind == "flip" and behind:
            data = before + bytes([behind[0] ^ (text[0] or 1)]) + behind[1:]
        elif kind == "insert":
            data = before + text + behind
        elif kind == "write":
            data = before + text + behind[len(text) :]
        elif kind == "delete":
            data = before + behind[len(text) :]
        elif kind == "double":
            data = before + behind[: 16 * len(text)] + behind
        elif kind == "number":
            found = list(re.finditer(rb"[\d.]+", data))[number % 16]
            data = data[: found.start()] + text + data[found.end() :]
        else:
            data = before
    return data


def _in_header() -> st.SearchStrategy[list[Change]]:
    """Extreme numbers in place of those of a header; 2^16 is a multiple of no header's size, so all places are met."""
    layouts = ["<f4", ">f4", "<f8"]
    floats = st.builds(
        lambda number, layout: np.array(number, layout).tobytes(), st.sampled_from(NUMBERS), st.sampled_from(layouts)
    )
    whole = st.builds(
        lambda number, size: (number % 256**size).to_bytes(size, "little"),
        st.sampled_from(WHOLE),
        st.sampled_from([1, 2, 4, 8]),
    )
    places = st.integers(0, 2**14).map(lambda n: 2 * n) | st.integers(0, 2**15)
    return st.lists(
        st.tuples(st.just("write"), places, floats | whole | st.binary(min_size=1, max_size=4)), min_size=1, max_size=3
    )


def _check_file(path: Path) -> None:
    """Both readers: the one that tells all, and the one that stops at the first error."""
    told: list[Problem] = []
    digest = inspect_volume(path, told.append, root=path.parent, padding_value=-8192)
    _check_findings(told)
    assert digest is not None or any(problem.severity == "error" for problem in told)
    for on_problem in (None, told.append):
        try:
            volume = read_volume(path) if on_problem is None else read_volume(path, on_problem=on_problem)
        except BadFileError as bad:
            _check_findings([bad.problem])
            continue
        assert volume.voxels.ndim == 3
        # What the strict reader takes, the check may call no error of container or header.
        if on_problem is None:
            assert not [p for p in told if p.severity == "error" and p.code.startswith(("container", "header"))]


def _check_findings(found: list[Problem]) -> None:
    for problem in found:
        row = json.loads(json.dumps(problem.as_row(), allow_nan=False))
        assert row["message"]
        assert "\n" not in problem.code + problem.hint


def _header(root: Path, examples: settings) -> None:
    @examples
    @given(st.sampled_from(range(len(BASES))), _in_header(), st.booleans())
    def run(base: int, changes: list[Change], is_packed: bool) -> None:
        size = int.from_bytes(BASES[base][:4], "little")
        header = _edited(BASES[base][:size], [(kind, place % size, text) for kind, place, text in changes])[:size]
        data = header + BASES[base][size:]
        path = root / ("0.nii.gz" if is_packed else "1.nii")
        path.write_bytes(gzip.compress(data, 0) if is_packed else data)
        with bounded(MOST_SECONDS):
            _check_file(path)

    run()


def _packed(root: Path, examples: settings) -> None:
    bases = [gzip.compress(base, level, mtime=0) for base, level in zip(BASES, (0, 1, 9), strict=True)]

    @examples
    @given(st.sampled_from(bases), _edits([b"\x1f\x8b\x08", b"\x1f\x8b", b"\xff" * 8, bytes(8), *bases[2:]]))
    def run(data: bytes, changes: list[Change]) -> None:
        (root / "0.nii.gz").write_bytes(_edited(data, changes))
        with bounded(MOST_SECONDS):
            _check_file(root / "0.nii.gz")

    run()


def _tables(root: Path, examples: settings) -> None:
    data = Hospital.made_in(root / "data")
    data.findings()
    write_ct_rate(root / "ct", ["train_1_a_1", "train_1_a_2", "train_2_a_1", "valid_1_a_1"])
    for number, path in enumerate(sorted((root / "ct").rglob("*.nii.gz"))):
        write(path, SMALL + np.int16(1024 + number), WIDE)
    names = ("train_1_a_1", "train_1_a_2", "train_2_a_1")
    rows = [{"VolumeName": f"{name}.nii.gz", "RescaleSlope": 1, "RescaleIntercept": -1024} for name in names]
    write_table(root / "ct/metadata/train_metadata.csv", rows)
    write_table(root / "ct/metadata/validation_metadata.csv", [rows[0] | {"VolumeName": "valid_1_a_1.nii.gz"}])
    tables = sorted(root.rglob("*.csv"))
    assert len(tables) == 7
    originals = [table.read_bytes() for table in tables]

    @examples
    @given(st.sampled_from(range(len(tables))), _edits([*SCRAPS, FINDINGS.encode()]))
    def run(number: int, changes: list[Change]) -> None:
        table = tables[number]
        table.write_bytes(_edited(originals[number], changes))
        try:
            with bounded(MOST_SECONDS):
                if table == data.table:
                    _check_findings(check_manifest(table, root / "cache"))
                else:
                    _check_findings(_check_ct_rate(root / "ct", root / "cache"))
        finally:
            table.write_bytes(originals[number])

    run()


def _check_ct_rate(root: Path, cache: Path) -> list[Problem]:
    told: list[Problem] = []
    try:
        source = CTRateSource(root, hu="raw+csv", on_problem=told.append)
    except BadFileError as bad:
        return [*told, bad.problem]
    return list(check_source(source, told, cache, max_tokens=64, workers=1).problems)


def _configs(root: Path, examples: settings) -> None:
    data = Hospital.made_in(root / "data")
    data.findings()
    path = root / "run.yaml"
    words = [*SCRAPS, b"manifest", b"ct_rate", b"source: ", b"null", b"\n  x: ", b"<<: *a\n"]
    numbers = st.sampled_from(
        [b"0", b"1", b"2", b"17", b"64", b"-3", b"0.5", b"1e3", b"1e999", b"9" * 30, b"[]", b"''"]
    )
    other_numbers = st.lists(st.tuples(st.just("number"), st.integers(0, 15), numbers), min_size=1, max_size=1)

    @examples
    @given(other_numbers | _edits(words))
    def run(changes: list[Change]) -> None:
        path.write_bytes(_edited(CONFIG.encode(), changes))
        told: list[Problem] = []
        with bounded(MOST_SECONDS):
            try:
                config = load_config(path)
                if config.data.source == "phantom":
                    return  # makes hundreds of studies
                source = build_source(config.data, told.append)
            except (ConfigError, DataError):
                return
            except OSError as error:
                # A path longer than any; the command line makes one line of an error that names its file.
                if error.filename is None:
                    raise
                return
            limit = config.text_encoder.max_tokens
            found = check_source(source, told, root / "cache", max_tokens=limit, workers=1).problems
            _check_findings(list(found))

    run()


TARGETS: dict[str, Callable[[Path, settings], None]] = {
    "the header of a volume": _header,
    "a packed volume": _packed,
    "tables": _tables,
    "configurations": _configs,
}


def _run(target: str, root: Path, monkeypatch: pytest.MonkeyPatch, *, max_examples: int, derandomize: bool) -> None:
    monkeypatch.chdir(root)
    examples = settings(
        max_examples=max_examples,
        derandomize=derandomize,
        deadline=None,
        database=None,
        # A failing example is a handful of changes already; to look for fewer would take longer than the test.
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    TARGETS[target](root, examples)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < MOST_MEGABYTES
    shutil.rmtree(root)


@pytest.mark.parametrize("target", list(TARGETS))
def test_nothing_but_findings_comes_of_changed_bytes(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(target, tmp_path, monkeypatch, max_examples=FEW, derandomize=True)


@pytest.mark.slow
@pytest.mark.parametrize("target", list(TARGETS))
def test_nothing_but_findings_comes_of_many_changed_bytes(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(target, tmp_path, monkeypatch, max_examples=MANY, derandomize=False)
