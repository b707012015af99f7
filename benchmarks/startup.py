"""Time `train` to its first batch with 50,000 volumes, and watch the memory of a data worker.

    python benchmarks/startup.py [--volumes 50000] [--folder FOLDER]

Volumes are files of one byte in CT-RATE's layout, prepared ones tiny arrays: measured is the handling of tables,
files, index and verdicts, not the reading of voxels. Imports are not counted.
"""

import argparse
import csv
import json
import os
import resource
import tempfile
import time
import zlib
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
from simcrop.adapters.problems.verdicts import source_stamp
from simcrop.adapters.sources.registry import build_source
from simcrop.compose.data import training_batches
from simcrop.core.ports import SingleProcess

CONFIG = """
name: startup
data: {source: ct_rate, root: data, prepared: prepared, num_workers: 2}
model: {volume_size: [16, 16, 16], patch_size: [4, 4, 4]}
objectives: {alignment: {top_k: 2}, late_interaction: {top_k: 2}}
"""
FINDINGS = (
    "Trachea and both main bronchi are open. No occlusive pathology was observed in the trachea. "
    "The heart is of normal size. No pericardial effusion is seen. "
    "A nodule of 4.5 mm lies in the right upper lobe. No pleural effusion. "
) * 3
COLUMNS = ("VolumeName", "Findings_EN", "Impressions_EN")


def make(folder: Path, num_volumes: int) -> None:
    """Two volumes a study, every 17th study held out; nothing is made twice."""
    tables = folder / "data" / "radiology_text_reports"
    if tables.exists():
        return
    rows: dict[str, list[tuple[str, str, str]]] = {"train": [], "valid": []}
    for number in range(num_volumes // 2):
        split = "valid" if number % 17 == 0 else "train"
        scan = folder / "data" / "dataset" / split / f"{split}_{number}" / f"{split}_{number}_a"
        scan.mkdir(parents=True)
        for name in (f"{split}_{number}_a_1.nii.gz", f"{split}_{number}_a_2.nii.gz"):
            (scan / name).write_bytes(b"x")
            rows[split].append((name, f"{FINDINGS} Case {number}.", "No acute finding."))
    tables.mkdir()
    for split, name in (("train", "train"), ("valid", "validation")):
        with (tables / f"{name}_reports.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([COLUMNS, *rows[split]])


def prepare(config: RunConfig) -> None:
    """An array of air and a line of the index for every volume, as if all were prepared."""
    source = build_source(config.data)
    assert config.data.prepared_size is not None
    prepared = PreparedVolumes(source, Grid(config.model.spacing_mm, config.data.prepared_size), config.data.prepared)
    names = [name for study in source.studies() for name in study.reconstructions]
    folder = prepared.array_file(names[0]).parent
    if folder.exists():
        return
    folder.mkdir(parents=True)
    air = np.full(config.data.prepared_size, -1000, np.int16)
    affine = np.eye(4).tolist()
    with (folder / "index_made.jsonl").open("w") as index:
        for name in names:
            path = prepared.array_file(name)
            np.save(path, air)
            row = {"name": name, "affine": affine, "source_affine": affine, "source": source_stamp(source, name)}
            index.write(json.dumps({**row, "bytes": path.stat().st_size, "crc32": zlib.crc32(air.data)}) + "\n")


def start(config: RunConfig) -> None:
    """Time what `train` does before its first step, then read batches and watch this process and its workers."""
    started = time.perf_counter()
    data = compose.prepare_data(config)
    tables = time.perf_counter() - started
    _, tokenizer = compose.build_model(config, reports=data.reports)
    model = time.perf_counter() - started - tables
    source = training_batches(config, data, tokenizer, SingleProcess(), torch.device("cpu"))
    batches = source.batches(1)
    next(batches)
    total = time.perf_counter() - started
    print(
        f"tables, files and index {tables:.2f} s, vocabulary and model {model:.2f} s, to the first batch {total:.2f} s"
    )
    memory = [private_bytes()]
    for _ in range(4):
        for _ in range(50):
            next(batches)
        memory.append(private_bytes())
    print("private memory of the largest worker after 1, 51, 101, 151, 201 batches, MB:", *(f"{m:.0f}" for m in memory))
    print(f"peak memory of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB")


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
    parser.add_argument("--folder", type=Path, help="kept, and used again; a temporary one by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        os.chdir(folder)
        make(folder, options.volumes)
        Path("run.yaml").write_text(CONFIG, encoding="utf-8")
        config = load_config(Path("run.yaml"), [])
        prepare(config)
        print(f"{options.volumes} volumes on {hardware()}")
        start(config)


if __name__ == "__main__":
    main()
