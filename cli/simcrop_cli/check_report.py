"""Runs a check of a data set, and shows what it found on one screen."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from simcrop.adapters.checking import Findings, check_folder, check_source
from simcrop.adapters.config import DataSettings
from simcrop.adapters.data_set import build_source
from simcrop.adapters.problems import REASONS, BadFileError, Problem
from simcrop.adapters.progress import counted
from simcrop.adapters.settings import load_config


def check_and_report(what: Path, report: Path | None, overrides: Sequence[str], workers: int | None) -> int:
    """Check, write the report, print the summary.

    Returns:
        1 if some finding is an error, else 0.
    """
    with counted("volumes checked") as progress:
        if what.is_dir():
            found = check_folder(what, DataSettings().prepared, workers=workers, progress=progress)
        else:
            config = load_config(what, overrides)
            told: list[Problem] = []
            try:
                source = build_source(config.data, told.append)
            except BadFileError as bad:
                found = Findings(0, [*told, bad.problem])
            else:
                found = check_source(
                    source,
                    told,
                    config.data.prepared,
                    max_tokens=config.text_encoder.max_tokens,
                    workers=workers,
                    progress=progress,
                )
    if report is not None:
        lines = [json.dumps(problem.as_row(), ensure_ascii=False) for problem in found.problems]
        report.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    _print(found, report)
    return 1 if found.num_errors else 0


def _print(found: Findings, report: Path | None) -> None:
    console = Console()
    by_code: dict[str, list[Problem]] = {}
    for problem in found.problems:
        by_code.setdefault(problem.code, []).append(problem)
    if by_code:
        table = Table("code", "", "count", "for example", "what to do", box=None, pad_edge=False)
        for code, problems in sorted(by_code.items(), key=lambda item: (REASONS[item[0]].severity, -len(item[1]))):
            first = problems[0]
            table.add_row(
                code, first.severity, str(len(problems)), f"{Path(first.file).name}: {first.message}", first.hint
            )
        console.print(table)
    num_notes = len(found.problems) - found.num_errors
    where = f"; all in {report}" if report is not None else ""
    summary = f"{found.num_volumes} volumes: {found.num_errors} errors, {num_notes} notes{where}"
    console.print(summary, highlight=False, soft_wrap=True)
