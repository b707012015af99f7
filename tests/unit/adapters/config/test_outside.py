"""Data sets of other packages: found by their entry points, read like those that are built in."""

from pathlib import Path

import pytest
from support.data_folders import write_volume

from simcrop.adapters.config.outside import load_source, outside_sources
from simcrop.adapters.config.settings import as_tree, config_from_tree, load_config
from simcrop.adapters.sources.checking import check_source
from simcrop.adapters.sources.registry import build_source
from simcrop.core.errors import ConfigError

CODE = """
from simcrop.adapters.sources.base import Source, options, study_of

class Lake(Source):
    kind = "lake"

    def __init__(self, root, shore, **declared):
        super().__init__(root, f"shore={shore}", **declared)
        self.folder, names = root, sorted(path.name for path in root.glob(f"{shore}_*.nii.gz"))
        self.found = [study_of(name, patient_id=name) for name in names]

    @classmethod
    def build(cls, data, on_problem):
        return cls(data.root, data.options["shore"], **options(data, on_problem))

    def studies(self):
        return self.found

    def files(self):
        return (self.volume_file(study.study_id) for study in self.found)

    def volume_file(self, reconstruction):
        return self.folder / reconstruction
"""
POINTS = "[simcrop.sources]\nlake = {name}:Lake\nbroken = {name}_nowhere:Lake\nodd = {name}:CODE\n"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package as pip installs one, that registers `lake`; returns a folder with two volumes of it."""
    name = f"lakes_{abs(hash(str(tmp_path)))}"
    about = tmp_path / "site" / f"{name}-1.0.dist-info"
    about.mkdir(parents=True)
    (tmp_path / "site" / f"{name}.py").write_text(f"{CODE}\nCODE = 1\n")
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(POINTS.format(name=name))
    monkeypatch.syspath_prepend(tmp_path / "site")
    for number in range(2):
        write_volume(tmp_path / f"data/north_{number}.nii.gz")
    write_volume(tmp_path / "data/south_0.nii.gz")
    return tmp_path / "data"


def options(data: Path) -> list[str]:
    return ["data.source=lake", f"data.root={data}", "data.options.shore=north"]


def config_file(folder: Path) -> Path:
    path = folder / "run.yaml"
    path.write_text("name: lake\n")
    return path


def test_a_registered_data_set_is_read_like_any_other(installed: Path, tmp_path: Path) -> None:
    assert {"lake", "broken", "odd"} <= outside_sources().keys()
    config = load_config(config_file(tmp_path), options(installed))
    source = build_source(config.data)
    assert [study.study_id for study in source.studies()] == ["north_0.nii.gz", "north_1.nii.gz"]
    assert "shore=north" in source.identity
    found = check_source(source, (), tmp_path / "cache", max_tokens=512, workers=1)
    assert found.num_volumes == 2
    assert config_from_tree(as_tree(config), "x") == config


def test_a_checkpoint_of_such_data_loads_where_the_package_is_not_installed(tmp_path: Path) -> None:
    tree = as_tree(load_config(config_file(tmp_path)))
    tree["data"] |= {"source": "lake", "options": {"shore": "north"}}
    assert config_from_tree(tree, "x").data.source == "lake"


def test_what_cannot_be_read_is_named(installed: Path, tmp_path: Path) -> None:
    config = config_file(tmp_path)
    with pytest.raises(ConfigError, match=r"^--set: data.source: 'lakee' is no data set; did you mean 'lake'\? "):
        load_config(config, ["data.source=lakee"])
    with pytest.raises(ConfigError, match=r"data.source: broken: .*_nowhere:Lake cannot be imported"):
        build_source(load_config(config, ["data.source=broken"]).data)
    with pytest.raises(ConfigError, match=r"data.source: odd: 1 is no subclass of"):
        build_source(load_config(config, ["data.source=odd"]).data)
    with pytest.raises(ConfigError, match="no installed package registers 'sea'"):
        load_source("sea")
    with pytest.raises(ConfigError, match=r"data.options: are for data sets of other packages; phantom has keys"):
        load_config(config, ["data.options.shore=north"])
