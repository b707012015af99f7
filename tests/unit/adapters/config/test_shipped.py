"""Configurations that come with simcrop are found wherever one is, and never stand in the way of one's own."""

import logging
from pathlib import Path

import pytest
from support import REPOSITORY

from simcrop.adapters.config.settings import load_config
from simcrop.adapters.config.shipped import here_or_shipped, shipped
from simcrop.core.errors import ConfigError


def test_every_configuration_of_the_repository_is_found() -> None:
    names = [Path("pretrain.yaml"), *(path.relative_to(REPOSITORY) for path in (REPOSITORY / "configs").glob("*.yaml"))]
    assert len(names) > 5
    for name in names:
        found = shipped(name)
        assert found is not None
        assert found.read_bytes() == (REPOSITORY / name).read_bytes()


@pytest.fixture
def elsewhere(tmp_path: Path) -> list[str]:
    """Overrides that name data which are there; nothing of them is read."""
    (tmp_path / "reports.csv").touch()
    return [f"data.root={tmp_path}", f"data.manifest={tmp_path / 'reports.csv'}"]


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_one_of_them_loads_with_a_global_batch_too(path: Path, elsewhere: list[str]) -> None:
    size = load_config(path, elsewhere).train.batch_size
    overrides = [*elsewhere, f"train.global_batch={8 * size}", "train.accumulate=null"]
    assert [load_config(path, overrides).train.micro_batches(ranks) for ranks in (1, 2, 4, 8)] == [8, 4, 2, 1]


@pytest.mark.parametrize("num_processes", [1, 2, 4, 8])
def test_the_papers_run_makes_its_updates_of_448_studies(num_processes: int, elsewhere: list[str]) -> None:
    train = load_config(REPOSITORY / "configs" / "ct_rate_paper.yaml", elsewhere).train
    assert train.studies_per_update(num_processes) == 448


@pytest.mark.parametrize(
    "name", ["nowhere.yaml", "../pretrain.yaml", "configs/../configs/results.yaml", "pyproject.toml"]
)
def test_nothing_else_is(name: str) -> None:
    assert shipped(Path(name)) is None
    assert shipped(REPOSITORY / "pretrain.yaml") is None


def test_a_configuration_is_taken_from_there_where_there_is_none_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.INFO, "simcrop"):
        config = load_config("pretrain.yaml", ["seed=7"])
    assert (config.name, config.seed, config.data.source) == ("pretrain", 7, "phantom")
    assert caplog.messages == [f"pretrain.yaml: is not here; taken from {REPOSITORY / 'pretrain.yaml'}"]
    Path("pretrain.yaml").write_text("seed: 3\n")
    assert load_config("pretrain.yaml").seed == 3
    with pytest.raises(ConfigError, match=r"other\.yaml: cannot be read"):
        load_config("other.yaml")


def test_prompts_are_found_as_configurations_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    name = Path("configs/prompts/organs.yaml")
    with caplog.at_level(logging.INFO, "simcrop"):
        assert here_or_shipped(name) == shipped(name) == REPOSITORY / name
    assert caplog.messages == [f"{name}: is not here; taken from {REPOSITORY / name}"]
    name.parent.mkdir(parents=True)
    name.touch()
    assert here_or_shipped(name) == name
    assert here_or_shipped(Path("organs.yaml")) == Path("organs.yaml")
