"""Texts of others in CSV files: they stay as they are, and whoever may open the file in a spreadsheet is warned."""

import csv
import io
import logging
from pathlib import Path

import pytest

from simcrop.adapters.formats.csv_writer import CsvWriter, is_formula


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-a.nii.gz", "@SUM(1)", "\t=1", "\r=1", "-", "－1+1x"])
def test_a_text_that_a_spreadsheet_would_compute_is_kept_and_told_once(
    caplog: pytest.LogCaptureFixture, text: str
) -> None:
    stream = io.StringIO(newline="")
    with caplog.at_level(logging.WARNING):
        table = CsvWriter(stream, ["scan", "score"])
        for name in ("a", text, text):
            table.add([name, "-0.5"])
        assert caplog.messages == []
        table.tell(Path("out/predictions.csv"))
    assert list(csv.reader(io.StringIO(stream.getvalue(), newline=""))) == [
        ["scan", "score"],
        *([name, "-0.5"] for name in ("a", text, text)),
    ]
    (message,) = caplog.messages
    assert message.startswith("out/predictions.csv: column scan holds texts that a spreadsheet takes for formulas")
    assert ascii(text) in message
    assert "\n" not in message


def test_a_column_may_be_called_like_one(caplog: pytest.LogCaptureFixture) -> None:
    CsvWriter(io.StringIO(), ["scan", "=label"]).tell(Path("t.csv"))
    assert "column =label holds" in caplog.text


@pytest.mark.parametrize("cell", ["-0.5", "+1e-3", "-inf", "-nan", "1=1", "a-b", "", -1, -0.5, None])
def test_numbers_and_other_texts_are_none(caplog: pytest.LogCaptureFixture, cell: object) -> None:
    assert not is_formula(cell)
    table = CsvWriter(io.StringIO(), ["a"])
    table.add([cell])
    table.tell(Path("t.csv"))
    assert caplog.messages == []
