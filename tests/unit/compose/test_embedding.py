"""`simcrop embed` in this process: the numbers of evaluation, whatever is asked for and whatever came before."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import labelled_data
from support.damage import packed
from support.labelled_runs import evaluate

from simcrop import compose
from simcrop.adapters.config.settings import load_config
from simcrop.adapters.formats.array_files import read_arrays
from simcrop.adapters.formats.feature_tables import read_table
from simcrop.compose.applying import Applied, ScanOptions
from simcrop.compose.embedding import EmbedOptions, embed
from simcrop.compose.evaluation.probe import probe
from simcrop.core.errors import ConfigError, DataError
from simcrop.core.training.stopping import Stopped


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained model, with the configuration that it was trained by beside it."""
    folder = tmp_path_factory.mktemp("embed")
    config = labelled_data.write_config(folder)
    compose.train(load_config(config), out=folder / "run")
    return folder


def configuration(run: Path) -> Path:
    return next(run.glob("*.yaml"))


def embedded(
    run: Path, out: Path, *inputs: Path, batch_size: int = 16, shard: tuple[int, int] = (0, 1), **options: Any
) -> Applied:
    options = EmbedOptions(scans=ScanOptions("cpu", batch_size, 1, shard), **options)
    return embed(inputs or [configuration(run)], str(run / "run"), out, options)


def kept_by_evaluation(run: Path, out: Path, features: str) -> dict[str, np.ndarray]:
    """What `eval probe` computed of the volumes that it looked at: whole rows, of which features are the first part."""
    evaluate(probe, configuration(run), out, f"probe.features={features}", checkpoint=run / "run")
    parts = [np.load(path) for path in (run / "prepared").glob("features_*/part_*.npz")]
    return {name: row for part in parts for name, row in zip(part["names"], part["features"], strict=True)}


def test_features_are_those_of_evaluation_to_the_last_bit(run: Path, tmp_path: Path) -> None:
    expected = kept_by_evaluation(run, tmp_path / "probe", "encoder")
    result = embedded(run, tmp_path / "out", batch_size=7)
    rows = read_table(result.path)
    assert len(rows) == result.done >= len(expected) > 0
    for name, row in expected.items():
        assert np.array_equal(rows[name], row[: len(rows[name])])


def test_every_read_out_has_its_width_and_tokens_are_kept_where_they_are_asked_for(run: Path, tmp_path: Path) -> None:
    widths = {}
    for name in ("encoder", "max", "layers"):
        table = read_table(embedded(run, tmp_path / name, read_out=name).path)
        widths[name] = {len(row) for row in table.values()}
    assert widths == {"encoder": {12}, "max": {24}, "layers": {12}}
    name = min(table)
    data, encoder = compose.prepare_data(load_config(configuration(run))), compose.load_encoder(run / "run")
    volume = data.prepared.read_centre(name, encoder.volume_size)[None, None]
    for form in ("npz", "h5"):
        result = embedded(run, tmp_path / form, form=form, tokens=True)
        assert len([*result.path.rglob(f"*.{form}")]) == result.done
        kept, about = read_arrays(result.path / f"{name}.{form}", ["tokens", "features"])
        assert np.array_equal(kept["tokens"], encoder.encode(volume)[0].detach().numpy())
        assert kept["features"].shape == (12,)
        told = json.loads(about or "")
        assert told.pop("scan") == name
        assert told == json.loads((tmp_path / form / "features.json").read_text())
        table = read_table(tmp_path / "encoder/features.csv")
        assert {key: row.tolist() for key, row in read_table(result.path).items()} == {
            key: row.tolist() for key, row in table.items()
        }
    with pytest.raises(ConfigError, match="--tokens: a table has no room for them"):
        EmbedOptions(tokens=True)


def test_bad_scans_are_named_and_the_rest_is_done(run: Path, tmp_path: Path) -> None:
    volumes = sorted((run / "studies").glob("*.nii.gz")) or sorted(run.rglob("*.nii.gz"))
    folder = tmp_path / "scans"
    folder.mkdir()
    for number, path in enumerate(volumes[:4]):
        (folder / f"{number}.nii.gz").write_bytes(path.read_bytes())
    packed(lambda data: data[:-8])(folder / "1.nii.gz")
    (folder / "2.nii.gz").write_bytes(b"")
    result = embedded(run, tmp_path / "out", folder)
    assert result.done == 2
    assert [(Path(row["scan"]).name, row["code"]) for row in result.refused] == [
        ("1.nii.gz", "container.truncated"),
        ("2.nii.gz", "container.empty"),
    ]
    assert [*read_table(result.path)] == [str(folder / "0.nii.gz"), str(folder / "3.nii.gz")]
    (folder / "2.nii.gz").write_bytes((folder / "0.nii.gz").read_bytes())
    again = embedded(run, tmp_path / "out", folder)
    assert (again.done, len(again.refused)) == (3, 1)


def test_what_was_stopped_goes_on_and_ends_in_the_same_table(run: Path, tmp_path: Path) -> None:
    expected = embedded(run, tmp_path / "whole").path.read_bytes()
    asked = []

    def third() -> bool:
        asked.append(1)
        return len(asked) == 3

    with pytest.raises(Stopped):
        embed(
            [configuration(run)],
            str(run / "run"),
            tmp_path / "stopped",
            EmbedOptions(scans=ScanOptions("cpu", 4, 1)),
            should_stop=third,
        )
    lines = (tmp_path / "stopped/scans.jsonl").read_text().splitlines()
    assert len(lines) == 12
    assert not (tmp_path / "stopped/features.csv").exists()
    result = embedded(run, tmp_path / "stopped")
    assert result.path.read_bytes() == expected
    seconds = [json.loads(line)["seconds"] for line in result.path.with_name("scans.jsonl").read_text().splitlines()]
    assert [json.loads(line)["seconds"] for line in lines] == seconds[:12], "what was done is not computed again"


def test_parts_together_are_the_whole(run: Path, tmp_path: Path) -> None:
    whole = read_table(embedded(run, tmp_path / "whole").path)
    parts = [read_table(embedded(run, tmp_path / "parts", shard=(number, 3)).path) for number in range(3)]
    assert sum(map(len, parts)) == len(whole)
    together = {name: row for part in parts for name, row in part.items()}
    assert all(np.array_equal(together[name], row) for name, row in whole.items())


def test_a_folder_without_scans_and_one_of_another_model_are_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("volume\n")
    with pytest.raises(DataError, match="no scan is there"):
        embedded(run, tmp_path / "out", tmp_path / "table.csv")
    embedded(run, tmp_path / "out")
    with pytest.raises(ConfigError, match="holds features of another model or kind"):
        embedded(run, tmp_path / "out", read_out="max")
