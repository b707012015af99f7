"""Whatever a table holds, in whatever format: studies or reasons, and nothing else."""

import random
import shutil
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import openpyxl
import pyarrow
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from support.bounded import bounded
from support.data_folders import write_volume

from simcrop.adapters.sources.manifest import ManifestSource
from simcrop.core.data.problems import BadFileError, Problem
from simcrop.core.data.study import Study

FEW, MANY = 500, 10_000
VOLUMES = ["a.nii.gz", "scans/b.nii.gz"]
HEADS = ["volume", "findings", "impression", "study_id", "patient_id", "split", "Volume ", "mass", "", "nodule", "Ünal"]
CELLS = [
    *VOLUMES, "scans\\b.nii.gz", "A.NII.GZ", "C:\\x.nii", "../a.nii.gz", "", " ", "nan", "-", "+", "0", "1", "1,0",
    "yes", "nein", "?", "maybe", "2", "p1", " P1 ", "1.2E+04", "12345.0", "#N/A", "train", "val",
    "Sağ akciğer. Größe.", "结节。",
    'a "quoted" text, with;all\tof|them\nand a second line', "\x00", "\ud83d\ude00", "x" * 300, "=1+1", "_x000D_",
]  # fmt: skip
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "cp1254", "gb18030"]
FORMATS = [*[",", ";", "\t", "|"] * 10, "xlsx", "parquet"]


def drawn_bytes(draw: random.Random) -> bytes:
    """A table of some format and encoding, some of its bytes changed."""
    heads = draw.sample(HEADS[:3], 3) + draw.choices(HEADS, k=draw.randrange(6))
    sizes = draw.choices(range(3, len(heads) + 2), k=draw.randrange(6))
    rows = [[_drawn_cell(draw) for _ in range(size)] for size in sizes]
    data = table_bytes((heads, rows), draw.choice(FORMATS), draw.choice(ENCODINGS))
    for _ in range(draw.choice((0, 0, 1, 2))):
        place, scrap = draw.randrange(len(data)), draw.randbytes(draw.randrange(4))
        data = data[:place] + scrap + data[place + len(scrap) * draw.randrange(2) :]
    return data


def _drawn_cell(draw: random.Random) -> str:
    if draw.random() < 0.9:
        return draw.choice(CELLS)
    return "".join(chr(draw.choice((draw.randrange(128), draw.randrange(0xD800)))) for _ in range(draw.randrange(6)))


def table_bytes(table: tuple[list[str], list[list[str]]], form: str, encoding: str) -> bytes:
    heads, rows = table
    if form == "xlsx":
        workbook, buffer = openpyxl.Workbook(write_only=True), BytesIO()
        sheet = workbook.create_sheet()
        for row in [heads, *rows]:
            sheet.append(["".join(c for c in cell if c.isprintable()) for cell in row])
        workbook.save(buffer)
        return buffer.getvalue()
    if form == "parquet":
        sink, names = pyarrow.BufferOutputStream(), dict.fromkeys(heads)
        padded = [[*row, *heads] for row in rows]
        columns = {name: [_encodable(row[index]) for row in padded] for index, name in enumerate(names)}
        parquet.write_table(pyarrow.table(columns), sink)
        return sink.getvalue().to_pybytes()
    quoted = (form.join(f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row) for row in [heads, *rows])
    return "\r\n".join(quoted).encode(encoding, "replace")


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def read(table: Path) -> tuple[Sequence[Study], list[Problem]]:
    told: list[Problem] = []
    try:
        return ManifestSource(table, on_problem=told.append).studies(), told
    except BadFileError as refused:
        return [], [*told, refused.problem]


def _run(root: Path, max_examples: int, *, derandomize: bool) -> None:
    for name in VOLUMES:
        write_volume(root / name)
    table = root / "t.csv"

    @settings(
        max_examples=max_examples,
        derandomize=derandomize,
        deadline=None,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, (1 << 64) - 1))
    def run(seed: int) -> None:
        table.write_bytes(drawn_bytes(random.Random(seed)))
        with bounded(20):
            studies, told = read(table)
        assert studies or told
        assert "\n" not in "".join(map(str, told))
        assert all(study.study_id.strip() and study.patient_id.strip() for study in studies)
        assert len({study.study_id for study in studies}) == len(studies)
        assert all(set(study.labels.values()) <= {0, 1} for study in studies)

    run()
    shutil.rmtree(root)


def test_a_table_gives_studies_or_reasons(tmp_path: Path) -> None:
    _run(tmp_path / "data", FEW, derandomize=True)


@pytest.mark.slow
def test_many_tables_give_studies_or_reasons(tmp_path: Path) -> None:
    _run(tmp_path / "data", MANY, derandomize=False)
