from pathlib import Path
from threading import Thread

import pytest
from kept import Kept


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    configuration = tmp_path / "run.yaml"
    configuration.write_text("train: {steps: 3}\n", encoding="utf-8")
    return Kept(tmp_path / "kept.json", configuration)


def test_what_is_kept_is_read_by_another_process(kept: Kept) -> None:
    kept.write("seed 1: all", ["seed=1"], {"auc": 0.123456789, "findings": {"hernia": {"auc": None}}})
    again = Kept(kept.path, kept.configuration)
    assert again.read("seed 1: all", ["seed=1"]) == {"auc": 0.123457, "findings": {"hernia": {"auc": None}}}
    assert again.read("seed 2: all", ["seed=2"]) is None


def test_figures_of_another_command_or_configuration_are_refused(kept: Kept) -> None:
    kept.write("all", ["seed=1"], {"auc": 0.5})
    with pytest.raises(ValueError, match="all was made by other settings"):
        kept.read("all", ["seed=1", "train.steps=4"])
    kept.configuration.write_text("train: {steps: 4}\n", encoding="utf-8")
    with pytest.raises(ValueError, match="all was made by other settings"):
        kept.read("all", ["seed=1"])


def test_figures_of_two_configurations_do_not_mix(kept: Kept) -> None:
    kept.write("all", ["seed=1"], {"auc": 0.5})
    kept.configuration.write_text("train: {steps: 4}\n", encoding="utf-8")
    with pytest.raises(ValueError, match="other settings"):
        kept.write("none", ["seed=1"], {"auc": 0.5})


def test_cells_that_finish_at_once_are_all_kept(kept: Kept) -> None:
    threads = [Thread(target=kept.write, args=(str(i), [], {"value": i})) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [kept.read(str(i), []) for i in range(20)] == [{"value": i} for i in range(20)]


def test_the_hardware_of_all_cells_is_told_once(kept: Kept) -> None:
    for key in ("a", "b"):
        kept.write(key, [], {})
    assert kept.hardware().count("torch") == 1
