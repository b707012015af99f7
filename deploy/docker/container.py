"""Entry point of the containers: a command of simcrop for every scan of one folder, told by the environment.

    embed     what `simcrop embed --format h5` writes: OUTPUT/features/SCAN.h5
    predict   what `simcrop predict` writes, in OUTPUT/predict, and the numbers in OUTPUT/results.json
    locate    the maps of `simcrop locate`: OUTPUT/maps/SCAN/1.nii.gz ..., listed in OUTPUT/results.json

docs/containers.md lists the variables. A scan is named by its path below the input folder.
"""

import csv
import json
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from simcrop.adapters.formats.opening import without_suffix
from simcrop.adapters.formats.scan import write_map
from simcrop.adapters.sources.own_scans import OwnScans
from simcrop.adapters.system.files import make_folder, replace_text
from simcrop.adapters.system.locks import owned
from simcrop.adapters.system.ranks import choose_device
from simcrop.compose import load_model
from simcrop.core.data.problems import BadFileError, Problem
from simcrop.core.errors import ConfigError, DataError, InputError, SimcropError, one_line
from simcrop.core.reports.prompts import WORDS, templates
from simcrop_cli.__main__ import main as run_command
from simcrop_cli.signals import stop

_MODELS = ("/model", "/opt/ml/model", "/weights")
"""Where a model is looked for: mounted or copied; as grand-challenge.org has it; as forithmus.com has it."""
_PRESENT = ": present"
"""What the names of columns with decisions end in."""

Row = dict[str, Any]


class Settings:
    """What the environment tells; an empty variable is an absent one.

    Args:
        environment: names and values.

    Attributes:
        input, output, model: folders, absolute.
        prompts, sentences: files, or for sentences a folder; absolute, or None.
        device: auto, cpu or cuda.
        strict: whether a scan that cannot be used makes the status 1.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._given = {name: value.strip() for name, value in environment.items() if value.strip()}
        self.input, self.output = (self._folder(name) for name in ("input", "output"))
        default = next((path for path in _MODELS if Path(path).exists()), _MODELS[0])
        self.model = Path(self.get("model") or default).absolute()
        self.prompts, self.sentences = self._path("prompts"), self._path("sentences")
        self.device, strict = self._one_of("device", "auto", "cpu", "cuda"), self._one_of("strict", "0", "1")
        self.strict = strict == "1"
        if not self.input.is_dir():
            raise ConfigError(f"SIMCROP_INPUT: {self.input} is no folder; mount the scans there")
        if not self.model.exists():
            raise ConfigError(f"SIMCROP_MODEL: {self.model} does not exist; mount the model at one of {_MODELS}")

    def get(self, name: str) -> str | None:
        """The variable of that name, or None."""
        return self._given.get(f"SIMCROP_{name.upper()}")

    def _folder(self, name: str) -> Path:
        return Path(self.get(name) or f"/{name}").absolute()

    def _path(self, name: str) -> Path | None:
        given = self.get(name)
        if given is not None and not Path(given).exists():
            raise ConfigError(f"SIMCROP_{name.upper()}: {given} does not exist; mount it there")
        return None if given is None else Path(given).absolute()

    def _one_of(self, name: str, default: str, *others: str) -> str:
        given = self.get(name) or default
        if given not in (default, *others):
            raise ConfigError(f"SIMCROP_{name.upper()}: {given} is none of {', '.join((default, *others))}")
        return given


def main(arguments: Sequence[str]) -> int:
    """Do one task on every scan of the input folder.

    Args:
        arguments: the task; without one SIMCROP_TASK names it.

    Returns:
        Exit status, as `simcrop` has it.
    """
    tasks: dict[str, Callable[[Settings], int]] = {"embed": embed, "predict": predict, "locate": locate}
    task = " ".join(arguments) or os.environ.get("SIMCROP_TASK", "")
    if task not in tasks:
        print(
            f"simcrop: {task or 'no task'}: is none of {', '.join(tasks)}; name one, or set SIMCROP_TASK",
            file=sys.stderr,
        )
        return 2
    try:
        settings = Settings(os.environ)
        make_folder(settings.output, "SIMCROP_OUTPUT")
        os.chdir(settings.input)  # so that scans have short names
        return tasks[task](settings)
    except (SimcropError, OSError) as error:
        print(f"simcrop: {' '.join(str(error).split())}", file=sys.stderr)
        return 1


def embed(settings: Settings) -> int:
    """Write the features of every scan, a file each."""
    return run_command(["embed", *_arguments(settings, settings.output), "--format", "h5"])


def predict(settings: Settings) -> int:
    """Write the numbers of every scan, as a table and as JSON."""
    out = settings.output / "predict"
    given = [] if settings.prompts is None else ["--prompts", str(settings.prompts)]
    status = run_command(["predict", *_arguments(settings, out), *given])
    if (out / "predictions.csv").exists():
        numbers = json.loads((out / "predictions.json").read_text(encoding="utf-8"))["numbers"]
        key = "probabilities" if numbers.startswith("probabilities") else "numbers"
        with (out / "predictions.csv").open(encoding="utf-8", newline="") as file:
            rows = [_numbers(row, key) for row in csv.DictReader(file)]
        lines = map(json.loads, (out / "scans.jsonl").read_text(encoding="utf-8").splitlines())
        refused = [_refusal(row["scan"], row["code"], row["message"]) for row in lines if row["status"] == "refused"]
        results = _write_results(settings.output, numbers, rows, refused)
        # Around results.json, as grand-challenge.org gathers the outputs of many jobs.
        replace_text(settings.output / "predictions.json", json.dumps([{"outputs": [{"value": results}]}]))
    return status


def locate(settings: Settings) -> int:
    """Write the map of each sentence on the voxels of every scan."""
    model, told = load_model(settings.model, choose_device(settings.device)), list[Problem]()
    sentences_of = _sentences(settings.sentences)
    shared = sentences_of(None)
    if shared:
        model.encode_text(shared)  # refuses what the model does not know, before any scan is read
    scans = OwnScans([Path()], told.append)
    rows: list[Row] = []
    refused = [_refusal(each.file, each.code, each.message) for each in told]
    with owned(settings.output), stop.installed():
        for name in (study.study_id for study in scans.studies()):
            if stop():
                break
            try:
                found = model.locate(scans.volume_file(name), sentences_of(name))
            except (DataError, InputError) as error:
                bad = error.problem if isinstance(error, BadFileError) else None
                code, message = (None, one_line(error)) if bad is None else (bad.code, bad.message)
                refused.append(_refusal(name, code, message))
                print(f"{name}: {message}" if code is None else f"{name}: {message} [{code}]")
                continue
            maps: list[Row] = []
            for number, each in enumerate(found, 1):
                path = Path("maps", name, f"{number}.nii.gz")
                write_map(settings.output / path, each.values, each.scan, about="simcrop: cosine similarity")
                place = [round(mm, 1) for mm in each.best_mm]
                maps.append({"sentence": each.sentence, "file": str(path), "cosine": each.cosine, "best_mm": place})
            rows.append({**_named(name), "maps": maps})
            print(f"{name}: {len(maps)} maps")
        if not rows and not refused and not stop():
            raise DataError(f"{settings.input}: no scan is there; mount some")
        _write_results(settings.output, "cosine of a sentence and a place: no probability", rows, refused)
    print(f"{settings.output}/maps: maps of {len(rows)} scans; {len(refused)} cannot be used")
    return stop.status or int(settings.strict and bool(refused))


def _arguments(settings: Settings, out: Path) -> list[str]:
    """What `simcrop embed` and `simcrop predict` are both given."""
    options = {"--checkpoint": settings.model, "--out": out, "--device": settings.device}
    options |= {"--batch-size": settings.get("batch_size"), "--workers": settings.get("workers")}
    given = [part for option, value in options.items() if value is not None for part in (option, str(value))]
    return [".", *given, *(["--strict"] if settings.strict else [])]


def _sentences(given: Path | None) -> Callable[[str | None], list[str]]:
    """The sentences of a scan; of None, those of every scan, if all have the same.

    Args:
        given: a file with a sentence a line; a folder with such a file SCAN.txt for each scan; or None, for a sentence
            for each of CT-RATE's findings.
    """
    if given is None or given.is_file():
        every = [templates(name).present[0] for name in WORDS] if given is None else _lines(given)
        return lambda _: every
    return lambda name: [] if name is None else _lines(Path(given, f"{without_suffix(name)}.txt"))


def _lines(path: Path) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a UTF-8 text file"
        raise DataError(f"SIMCROP_SENTENCES: {path} cannot be read ({reason}); write a sentence a line") from error
    if not any(lines):
        raise DataError(f"SIMCROP_SENTENCES: {path} holds no sentence; write a sentence a line")
    return [line for line in lines if line]


def _numbers(row: Mapping[str, str], key: str) -> Row:
    """One row of the table: its numbers, and its decisions where there are some."""
    values = {name: float(value) for name, value in row.items() if name != "scan"}
    decided = {name.removesuffix(_PRESENT): int(value) for name, value in values.items()
               if name.endswith(_PRESENT) and not math.isnan(value)}  # fmt: skip
    numbers = {name: value for name, value in values.items() if not name.endswith(_PRESENT)}
    return {**_named(row["scan"]), key: numbers, **({"present": decided} if decided else {})}


def _named(scan: str) -> Row:
    return {"input_image_name": without_suffix(scan), "file": scan}


def _refusal(scan: str, code: str | None, message: str) -> Row:
    return {**_named(scan), "code": code, "message": message}


def _write_results(output: Path, numbers: str, rows: Sequence[Row], refused: Sequence[Row]) -> Row:
    version = {"major": 1, "minor": 0}
    results = {"name": "simcrop", "type": numbers, "version": version, "predictions": rows, "refused": refused}
    replace_text(output / "results.json", json.dumps(results, indent=1) + "\n")
    return results


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
