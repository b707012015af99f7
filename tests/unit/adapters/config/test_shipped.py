"""Configurations that come with simcrop are found wherever one is, and never stand in the way of one's own."""

import logging
from pathlib import Path

import pytest
from support import REPOSITORY

from simcrop.adapters.config.settings import load_config
from simcrop.adapters.config.shipped import shipped
from simcrop.core.errors import ConfigError


def test_every_configuration_of_the_repository_is_found() -> None:
    names = [Path("pretrain.yaml"), *(path.relative_to(REPOSITORY) for path in (REPOSITORY / "configs").glob("*.yaml"))]
    assert len(names) > 5
    for name in names:
        found = shipped(name)
        assert found is not None
        assert found.read_bytes() == (REPOSITORY / name).read_bytes()


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
