"""Runs a check of a data set, and shows what it found on one screen."""

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from simcrop.adapters.config.run import DataSettings, RunConfig
from simcrop.adapters.config.settings import load_config
from simcrop.adapters.loading.organ_checks import organ_problems
from simcrop.adapters.sources.checking import PASSED_OVER, CheckResult, check_folder, check_source
from simcrop.adapters.sources.registry import build_source
from simcrop.adapters.sources.truth_folders import organ_source
from simcrop.adapters.system.files import naming
from simcrop.adapters.system.progress import counted
from simcrop.core.data.problems import REASONS, BadFileError, Problem
from simcrop.core.ports import DataSet

_LONGEST_NAME = 36


def check_and_report(what: Path, report: Path | None, overrides: Sequence[str], workers: int | None) -> int:
    """Check, write the report, print the summary.

    Returns:
        1 if some problem is an error, else 0.
    """
    if report is not None:
        report.open("a").close()  # a report that cannot be written is better known before hours of checking
    found = _check(what, overrides, workers)
    if report is not None:
        lines = [json.dumps(problem.as_row(), ensure_ascii=False, allow_nan=False) for problem in found.problems]
        # File names need not be UTF-8; what is not becomes an escape that JSON knows.
        with naming(report):
            report.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="backslashreplace")
    # A pipe and a file have no width, and whoever reads them wants whole messages.
    width, _ = shutil.get_terminal_size((sys.maxsize, 0))
    for line in summary_lines(found, report, width):
        print(line)
    return 1 if found.num_errors else 0


def _check(what: Path, overrides: Sequence[str], workers: int | None) -> CheckResult:
    with counted("volumes checked") as progress:
        if what.is_dir():
            return check_folder(what, DataSettings().prepared, workers=workers, progress=progress)
        config = load_config(what, overrides)
        cache, max_tokens = config.data.prepared, config.text_encoder.max_tokens
        found: list[Problem] = []
        try:
            source = build_source(config.data, found.append)
        except BadFileError as bad:
            return CheckResult(0, [*found, bad.problem])
        checked = check_source(
            source,
            found,
            cache,
            max_tokens=max_tokens,
            held_out_fraction=config.data.validation_fraction,
            workers=workers,
            progress=progress,
        )
    if not config.objectives.organ_shares.weight:
        return checked
    return replace(checked, problems=[*checked.problems, *_of_organs(config, source, workers)])


def _of_organs(config: RunConfig, source: DataSet, workers: int | None) -> Sequence[Problem]:
    """The problems of the masks of organs, which an objective reads."""
    names = [name for study in source.studies() for name in study.reconstructions]
    with counted("volumes whose masks of organs are checked") as progress:
        masks = organ_source(source, config.data.organ_masks)
        return organ_problems(source, masks, names, workers=workers, progress=progress)


def summary_lines(found: CheckResult, report: Path | None, width: int) -> Iterator[str]:
    """Two lines for each code, errors first and the commonest first, lines about reports, patients, labels and what is
    left out, and one of totals.

    Args:
        found: by a check.
        report: where all of it was written.
        width: characters of a line; longer ones are cut, but for the last two.
    """
    by_code: dict[str, list[Problem]] = {}
    for problem in found.problems:
        by_code.setdefault(problem.code, []).append(problem)
    longest = max(map(len, by_code), default=0)
    for code, problems in sorted(by_code.items(), key=lambda item: (REASONS[item[0]].severity, -len(item[1]))):
        first = problems[0]
        number = _counted(
            len(problems),
            "file" if code == PASSED_OVER or code.startswith(("container", "header", "content")) else "problem",
        )
        example = f"{_cut(_plain(Path(first.file).name), _LONGEST_NAME)}: {_plain(first.message)}"
        such = f"{number}, {example}" if len(problems) == 1 else f"{number}, such as {example}"
        yield _cut(f"{first.severity:<5}  {code:<{longest}}  {such}", width)
        yield _cut(f"       -> {first.hint}", width)
    if found.sentences_per_report is not None:
        yield f"reports: {found.sentences_per_report:.1f} sentences each on average"
    if found.held_out is not None:
        yield "patients: {} of {} held out".format(*found.held_out)
    if found.labels:
        yield _cut(f"labels, yes/no/unknown: {', '.join(map(_label, found.labels.items()))}", width)
    if found.exclusion_note:
        yield _plain(found.exclusion_note)
    num_notes = sum(problem.severity == "note" and problem.code != PASSED_OVER for problem in found.problems)
    counts = (found.num_volumes, "volume"), (found.num_errors, "error"), (num_notes, "note")
    volumes, errors, notes = (_counted(*count) for count in counts)
    if found.num_passed_over:
        notes += f", {_counted(found.num_passed_over, 'file')} passed over"
    where = f"; all in {report}" if report is not None else "; --report FILE.jsonl lists all" if by_code else ""
    yield f"{volumes}: {errors}, {notes}{where}"


def _label(counts: tuple[str, tuple[int, int, int]]) -> str:
    name, (yes, no, unknown) = counts
    return f"{_plain(name)} {yes}/{no}/{unknown}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _plain(text: str) -> str:
    """One line without what a terminal would obey, or cannot show."""
    line = "".join(c if c.isprintable() else " " for c in " ".join(text.split()))
    return line.encode("utf-8", "backslashreplace").decode("utf-8")
