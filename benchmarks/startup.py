"""Time `train` to its first batch with 50,000 volumes and more, and watch the memory of a data worker.

    python benchmarks/startup.py [--volumes 50000] [--batches 200] [--source manifest|ct_rate] [--folder FOLDER]

Volumes are links to a file of one byte, prepared ones links to a tiny array: measured is the handling of tables, files,
index and verdicts, not the reading of voxels. Nothing is prepared, since the index is written as if all were. Imports
are not counted.
"""

import argparse
import csv
import json
import os
import resource
import tempfile
import time
import zlib
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import torch
from measuring import hardware
from transformers import BertModel, BertTokenizer  # noqa: F401  (imports are not counted)

from simcrop import compose
from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.config.settings import load_config
from simcrop.adapters.loading.prepared import PreparedVolumes
from simcrop.adapters.loading.resample import Grid
from simcrop.adapters.sources.registry import build_source
from simcrop.compose.data import tell_sentences, training_batches, validation_batches
from simcrop.core.data.held_out import in_hashed_order
from simcrop.core.ports import SingleProcess

CONFIG = """
name: startup
data: {{source: {source}, {place}, prepared: prepared, num_workers: 2}}
model: {{volume_size: [16, 16, 16], patch_size: [4, 4, 4]}}
objectives: {{alignment: {{top_k: 2}}, late_interaction: {{top_k: 2}}}}
train: {{batch_size: 4}}
"""
PLACES = {"manifest": "manifest: data/reports.csv, validation_fraction: 0.06", "ct_rate": "root: data"}
FINDINGS = (
    "Trachea and both main bronchi are open. No occlusive pathology was observed in the trachea. "
    "The heart is of normal size. No pericardial effusion is seen. "
    "A nodule of 4.5 mm lies in the right upper lobe. No pleural effusion. "
) * 3
_LINKS = 50_000
"""Links to one file; file systems allow some 65,000."""
_IN_A_FOLDER = 1000


class Links:
    """Makes files that are links to one.

    Args:
        folder: of the few real files.
        data: that they hold.
    """

    def __init__(self, folder: Path, data: bytes) -> None:
        self._folder, self._data, self._count = folder, data, 0
        folder.mkdir(parents=True, exist_ok=True)

    def make(self, path: Path) -> None:
        """One more of them."""
        real = self._folder / str(self._count // _LINKS)
        if not self._count % _LINKS:
            real.write_bytes(self._data)
        self._count += 1
        path.hardlink_to(real)


def rows_of(source: str, num_volumes: int) -> Iterator[tuple[Path, str, str, dict[str, str]]]:
    """Every volume's file, table and name, and its row; with CT-RATE two volumes a study, every 17th held out."""
    for number in range(num_volumes):
        if source == "manifest":
            name = f"scans/{number // _IN_A_FOLDER:04d}/{number:07d}.nii.gz"
            row = {"volume": name, "study_id": f"s{number:07d}", "patient_id": f"p{number // 2:07d}"}
            text = {"findings": f"{FINDINGS} Case {number}.", "impression": "No acute finding.", "nodule": "1"}
            yield Path("data", name), "data/reports.csv", name, row | text
            continue
        case, scan = divmod(number, 2)
        split, table = ("valid", "validation") if case % 17 == 0 else ("train", "train")
        name = f"{split}_{case}_a_{scan + 1}"
        path = Path("data/dataset", split, f"{split}_{case}", f"{split}_{case}_a", f"{name}.nii.gz")
        text = {"Findings_EN": f"{FINDINGS} Case {case}.", "Impressions_EN": "No acute finding."}
        yield path, f"data/radiology_text_reports/{table}_reports.csv", name, {"VolumeName": f"{name}.nii.gz", **text}


def make(source: str, num_volumes: int) -> None:
    """Tables and volumes, and an array and a line of the index for each, as if all were prepared; nothing twice."""
    if Path("made").exists():
        return
    links = Links(Path("real/volumes"), b"x")
    write_tables(source, 1, links)
    config = load_config(Path("run.yaml"), [])
    assert config.data.prepared_size is not None
    grid = Grid(config.model.spacing_mm, config.data.prepared_size)
    prepared = PreparedVolumes(build_source(config.data), grid, config.data.prepared)
    write_tables(source, num_volumes, links)
    prepared.folder.mkdir(parents=True)
    air = np.full(config.data.prepared_size, -1000, np.int16)
    np.save("air.npy", air)
    array = Path("air.npy").read_bytes()
    arrays, affine = Links(Path("real/arrays"), array), np.eye(4).tolist()
    with (prepared.folder / "index_made.jsonl").open("w", encoding="utf-8") as index:
        for path, _, name, _ in rows_of(source, num_volumes):
            arrays.make(prepared.array_file(name))
            status = path.stat()
            stamp = {"name": path.name, "bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
            line = {"name": name, "affine": affine, "source_affine": affine, "source": stamp, "bytes": len(array)}
            index.write(json.dumps({**line, "crc32": zlib.crc32(air.data)}) + "\n")
    Path("made").touch()


def write_tables(source: str, num_volumes: int, links: Links) -> None:
    """The tables, and what volumes they name and are not there."""
    with ExitStack() as opened:
        tables: dict[str, csv.DictWriter[str]] = {}
        for path, table, _, row in rows_of(source, num_volumes):
            if table not in tables:
                Path(table).parent.mkdir(parents=True, exist_ok=True)
                file = opened.enter_context(Path(table).open("w", newline="", encoding="utf-8"))
                tables[table] = csv.DictWriter(file, list(row))
                tables[table].writeheader()
            tables[table].writerow(row)
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                links.make(path)


@contextmanager
def timed(what: str) -> Generator[None]:
    """Say how long something took, on the clock and of this process."""
    wall, own = time.perf_counter(), time.process_time()
    yield
    wall, own = time.perf_counter() - wall, time.process_time() - own
    print(f"{what}: {wall:.2f} s ({own:.2f} s of this process), peak memory so far {peak_mb():.0f} MB", flush=True)


def start(config: RunConfig, num_batches: int) -> None:
    """Time what `train` does before its first step, then read batches and watch this process and its workers."""
    with timed("to the first batch"):
        with timed("  tables, files and index"):
            data = compose.prepare_data(config)
        with timed("  number of sentences, fingerprint"):
            tell_sentences(data.train)
            _ = data.fingerprint
        with timed("  vocabulary and model"):
            _, tokenizer = compose.build_model(config, reports=data.reports)
        with timed("  first batch"):
            held_out = in_hashed_order(data.held_out)
            validation_batches(config, data, tokenizer, held_out, SingleProcess())
            source = training_batches(config, data, tokenizer, SingleProcess(), torch.device("cpu"))
            batches = source.batches(1)
            next(batches)
    began = time.perf_counter()
    for number in range(200):
        source.position(number)
    print(f"studies of a micro-batch drawn in {(time.perf_counter() - began) / 200 * 1e3:.3f} ms")
    memory = {1: private_bytes()}
    for number in range(1, num_batches + 1):
        next(batches)
        if number % (num_batches // 4) == 0:
            memory[number + 1] = private_bytes()
    shown = ", ".join(f"{mb:.0f} after {number}" for number, mb in memory.items())
    print(f"private memory of the largest worker, MB, by batches of a step: {shown}")
    print(f"peak memory of this process {peak_mb():.0f} MB")


def peak_mb() -> float:
    """Of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def private_bytes() -> float:
    """MB that the largest child process shares with no other (Linux)."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    sizes = [0]
    for child in children:
        lines = Path(f"/proc/{child}/smaps_rollup").read_text().splitlines()
        sizes.append(sum(int(line.split()[1]) for line in lines if line.startswith("Private")))
    return max(sizes) / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volumes", type=int, default=50_000)
    parser.add_argument("--batches", type=int, default=200, help="read after the first one")
    parser.add_argument("--source", choices=list(PLACES), default="manifest")
    parser.add_argument("--folder", type=Path, help="kept, and used again; a temporary one by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        os.chdir(folder)
        config = CONFIG.format(source=options.source, place=PLACES[options.source])
        Path("run.yaml").write_text(config, encoding="utf-8")
        make(options.source, options.volumes)
        print(f"{options.volumes} volumes on {hardware()}")
        start(load_config(Path("run.yaml"), []), options.batches)


if __name__ == "__main__":
    main()
