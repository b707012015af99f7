"""The paragraph for an article says what the configuration says."""

from support import REPOSITORY

from simcrop.adapters.config.settings import load_config
from simcrop.adapters.pages.methods import methods_text
from simcrop.core.recipe import TERMS

VERSIONS = {"simcrop": "0.2", "torch": "2.13"}


def test_the_default_run_is_described() -> None:
    config = load_config(REPOSITORY / "pretrain.yaml")
    text = methods_text(config, num_train=868, num_held_out=332, versions=VERSIONS, commit="abcdef0123456789")
    for part in (
        "patches of 6 x 6 x 3 voxels",
        "simcrop 0.2, commit abcdef012345, with PyTorch 2.13",
        "Volumes of 868 studies (source: phantom) were resampled to 7 x 7 x 14 mm and cut to 48 x 48 x 24 voxels",
        "332 studies of other patients were held out",
        "87.5 % of the patches were hidden",
        "reconstruction of masked patches (0.5), reconstruction of masked words (0.25)",
        "500 updates were made with muon at a peak learning rate of 0.01 after 30 warm-up steps, each on 32 studies",
        "with seed 0.",
    ):
        assert part in text, part


def test_every_objective_is_named_in_words() -> None:
    on = [f"objectives.{name}.weight=0.125" for name in TERMS]
    config = load_config(REPOSITORY / "pretrain.yaml", on)
    text = methods_text(config, num_train=None, num_held_out=None, versions={}, commit=None)
    assert text.count(" (0.125)") == len(TERMS)
    assert "prediction of the shares of organs in visible patches (0.125)" in text
    assert not any(f"{name.replace('_', ' ')} (" in text for name in TERMS)


def test_a_global_batch_is_that_of_all_processes() -> None:
    config = load_config(REPOSITORY / "pretrain.yaml", ["train.global_batch=448"])
    text = methods_text(config, num_train=None, num_held_out=None, versions={}, commit=None)
    assert "each on 448 studies, with seed" in text


def test_what_is_not_known_is_not_said() -> None:
    config = load_config(REPOSITORY / "pretrain.yaml")
    text = methods_text(config, num_train=None, num_held_out=None, versions={}, commit=None)
    assert "Volumes of the studies (source" in text
    assert "held out" not in text
    assert "commit" not in text
    assert "None" not in text
