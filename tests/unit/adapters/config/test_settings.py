"""Configurations: who wins, what is derived, and one helpful line for whatever is wrong."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from support import REPOSITORY
from support.configuration_guide import GUIDE, guide_text
from support.configurations import load, message

from simcrop.adapters.config.settings import DataSettings, RunConfig, as_tree, as_yaml, config_from_tree, load_config
from simcrop.adapters.config.yaml_text import parse_yaml
from simcrop.core.errors import ConfigError
from simcrop.core.recipe import AlignmentRecipe, ModelRecipe


def load_or_explain(folder: Path, text: str, *overrides: str) -> RunConfig | None:
    """The configuration, or None where it was refused in one line."""
    try:
        return load(folder, text, *overrides)
    except ConfigError as error:
        lines = str(error).count("\n")
    assert lines == 0
    return None


def test_an_empty_file_gives_the_improved_tiny_defaults(tmp_path: Path) -> None:
    config = load(tmp_path, "# nothing set\n")
    assert config.name == "pretrain"
    assert config.model == ModelRecipe()
    assert config.objectives.alignment == AlignmentRecipe()
    assert config.data.prepared_size == tuple(round(size * 8 / 7) for size in ModelRecipe().volume_size)
    assert config.data.root == Path(f"data/phantom_{DataSettings().cases}_0")


def test_a_recipe_changes_what_it_lists_and_explicit_keys_win(tmp_path: Path) -> None:
    paper = load(tmp_path, "recipe: paper")
    assert (paper.objectives.late_interaction.weight, paper.train.grad_clip) == (0.0, None)
    assert paper.data.augment.scale == (0.8, 1.0)
    assert paper.text_encoder.dropout_active
    mixed = load(tmp_path, "recipe: paper\nobjectives: {reconstruction: {target: patch_norm}}")
    assert (mixed.objectives.reconstruction.target, mixed.objectives.reconstruction.loss) == ("patch_norm", "all")


def test_preset_then_file_then_options(tmp_path: Path) -> None:
    text = "model: {preset: vit_b, depth: 6}\ntrain: {steps: 40, warmup_steps: 4}"
    config = load(tmp_path, text, "model.num_heads=8", "train.steps=50", "train.steps=60")
    assert (config.model.embed_dim, config.model.depth, config.model.num_heads) == (768, 6, 8)
    assert config.objectives.alignment.top_k == 32
    assert (config.train.steps, config.train.warmup_steps) == (60, 4)
    assert config.data.prepared_size == (256, 256, 128)


def test_scientific_notation_null_and_empty_sections_mean_what_they_look_like(tmp_path: Path) -> None:
    config = load(tmp_path, "name: 2024\nmodel:\ntrain: {lr: 1e-3, grad_clip: null}\ntext_encoder: {revision: 'null'}")
    assert (config.train.lr, config.train.grad_clip, config.text_encoder.revision) == (1e-3, None, "null")
    assert (config.name, config.model) == ("2024", ModelRecipe())


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("objectives: {alignment: {top_kk: 3}}", (), "pretrain.yaml: objectives.alignment.top_kk: unknown key; did"),
        ("trian: {steps: 3}", (), "pretrain.yaml: trian: unknown key; did you mean train?"),
        ("", ("train.stepz=3",), "--set: train.stepz: unknown key; did you mean steps?"),
        ("zzz: 3", (), "pretrain.yaml: zzz: unknown key; known here: name, seed, recipe, data, model, ..."),
        ("", ("zzz.steps=3",), "--set: zzz: unknown key; known here: name, seed, recipe, data, model, ..."),
        ("train: {steps: many}", (), "pretrain.yaml: train.steps: expected a whole number, not many"),
        ("train: {steps: true}", (), "pretrain.yaml: train.steps: expected a whole number, not true"),
        ("train: {lr: inf}", (), "pretrain.yaml: train.lr: expected a finite number, not inf"),
        ("train: 3", (), "pretrain.yaml: train: expected a section with keys below it, not 3"),
        ("recipe: papr", (), "pretrain.yaml: recipe: expected improved or paper, not papr"),
        ("model: {volume_size: [96, 96]}", (), "pretrain.yaml: model.volume_size[2]: a value is missing"),
        ("model: {volume_size: [96, 96, 48, 1]}", (), "pretrain.yaml: model.volume_size: expected 3 values, not 4"),
        ("model: {volume_size: [95, 6, 6], patch_size: [6, 6, 6]}", (), "pretrain.yaml: model.volume_size: 95 voxels"),
        ("model: {embed_dim: 100, num_heads: 6}", (), "pretrain.yaml: model.embed_dim: 100 is not divisible"),
        ("objectives: {report: {mask_ratio: 2}}", (), "pretrain.yaml: objectives.report.mask_ratio: 2.0 is outside"),
        ("data: {augment: {scale: [2, 1]}}", (), "pretrain.yaml: data.augment.scale: (2.0, 1.0) is not an ascending"),
        ("seed: -1", (), "pretrain.yaml: seed: -1 is below 0"),
        ("train: {trackers: [mlfow]}", (), "pretrain.yaml: train.trackers[0]: expected tensorboard, mlflow or wandb"),
        ("", ("train.trackers=[mlfow]",), "--set: train.trackers[0]: expected tensorboard, mlflow or wandb, not mlfow"),
        ("train: {trackers: mlflow}", (), "pretrain.yaml: train.trackers: expected a list, not mlflow"),
        ("train: {trackers: [wandb, wandb]}", (), "pretrain.yaml: train.trackers: names wandb twice"),
        ("name: a/b", (), "pretrain.yaml: name: 'a/b' cannot be a folder"),
        (
            "data: {cases: 4}\ntrain: {batch_size: 3, global_batch: 6}",
            (),
            "pretrain.yaml: data.cases: 4 studies leave 3 for training, below train.global_batch 6",
        ),
        ("train: {batch_size: 5, global_batch: 12}", (), "pretrain.yaml: train.global_batch: 12 does not divide"),
        (
            "train: {accumulate: 2}",
            ("train.global_batch=64",),
            "pretrain.yaml: train.accumulate: 2 is given beside global_batch 64",
        ),
        ("data: {cases: 4}\ntrain: {batch_size: 9}", (), "pretrain.yaml: data.cases: 4 studies leave 3 for training"),
        ("data: {source: manifest}", (), "pretrain.yaml: data.manifest: source manifest needs it"),
        ("data: {source: ct_rate}", (), "pretrain.yaml: data.root: source ct_rate needs it"),
        ("data: {source: manifest, manifest: no.csv}", (), "pretrain.yaml: data.manifest: no.csv does not exist"),
        ("data: {exclude: no.txt}", (), "pretrain.yaml: data.exclude: no.txt does not exist"),
        ("data: {exclude: ''}", (), "pretrain.yaml: data.exclude: is empty"),
        ("", ("data.source=ct_rate", "data.root=/no/where"), "--set: data.root: /no/where does not exist"),
        ("model: {init: no.pt}", (), "pretrain.yaml: model.init: no.pt does not exist"),
        ("text_encoder: {source: ./no}", (), "pretrain.yaml: text_encoder.source: no does not exist"),
        ("", ("train.steps",), "--set train.steps: expected section.key=value"),
        ("", ("train.=3",), "--set train.=3: expected section.key=value"),
        ("a: [1\nb: 2", (), "pretrain.yaml: line 2, column 2: not valid YAML"),
        ("seed: 1\nseed: 2", (), "pretrain.yaml: line 2, column 1: not valid YAML (the key 'seed' stands twice)"),
        ("- 1", (), "pretrain.yaml: expected sections such as `train:`, not list"),
        ("[" * 3000, (), "pretrain.yaml: nested too deeply"),
        ("~: 3", (), "pretrain.yaml: None: Keys should be strings"),
    ],
)  # fmt: skip
def test_every_mistake_is_one_line_naming_place_and_remedy(
    tmp_path: Path, text: str, options: tuple[str, ...], expected: str
) -> None:
    assert message(tmp_path, text, *options).startswith(expected)


def test_weights_may_lie_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mae.pth").touch()
    (tmp_path / "bert").mkdir()
    config = load(tmp_path, "model: {init: ~/mae.pth}\ntext_encoder: {source: ~/bert}")
    assert (config.model.init, config.text_encoder.source) == ("~/mae.pth", "~/bert")
    assert "model.init: ~/no.pth does not exist" in message(tmp_path, "model: {init: ~/no.pth}")


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nope\.yaml: cannot be read \(No such file"):
        load_config(tmp_path / "nope.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe4\n")
    with pytest.raises(ConfigError, match="not a UTF-8 text file"):
        load_config(tmp_path / "latin.yaml")


def test_the_resolved_text_gives_the_same_config_without_its_files(tmp_path: Path) -> None:
    (tmp_path / "reports.csv").touch()
    text = f"recipe: paper\nmodel: {{preset: vit_b}}\ndata: {{source: manifest, manifest: {tmp_path}/reports.csv}}"
    config = load(tmp_path, text)
    (tmp_path / "reports.csv").unlink()
    assert config_from_tree(parse_yaml(as_yaml(config), "config.yaml"), "config.yaml") == config


@pytest.mark.parametrize("path", [REPOSITORY / "pretrain.yaml", *sorted((REPOSITORY / "configs").glob("*.yaml"))])
def test_every_shipped_configuration_loads(tmp_path: Path, path: Path) -> None:
    manifest = tmp_path / "reports.csv"
    manifest.touch()
    config = load_config(path, [f"data.manifest={manifest}", f"data.root={tmp_path}"])
    assert config.name == path.stem


def test_the_guide_lists_every_key_with_its_default_and_meaning() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    assert guide == guide_text(guide), "refresh it with: make guides"
    assert guide.count("\n| `top_k` |") == 2


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 600) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
PATHS = [
    *[(section, key) for section, below in as_tree(RunConfig()).items() if isinstance(below, dict) for key in below],
    *[("objectives", term, key) for term in ("alignment", "report") for key in ("weight", "top_k", "mask_ratio")],
    *[(key,) for key in as_tree(RunConfig())],
]


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(PATHS), VALUES, max_size=4))
def test_any_values_give_a_config_that_survives_its_own_text_or_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, values: dict[tuple[str, ...], Any]
) -> None:
    tree: dict[str, Any] = {}
    for path, value in values.items():
        section = tree
        for part in path[:-1]:
            below = section.get(part)
            section[part] = below if isinstance(below, dict) else {}
            section = section[part]
        section[path[-1]] = value
    folder = tmp_path_factory.mktemp("fuzz", numbered=True)
    config = load_or_explain(folder, yaml.safe_dump(tree))
    assert config is None or config_from_tree(parse_yaml(as_yaml(config), "config.yaml"), "config.yaml") == config


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.sampled_from("abe:{}[],-#&*!|>'\"\n \t~?%@0.\x00\x85é"), max_size=40))
def test_any_text_gives_a_config_or_a_config_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("fuzz", numbered=True)
    for config in (load_or_explain(folder, text), load_or_explain(folder, "", f"train.steps={text}", f"{text}=1")):
        assert config is None or config_from_tree(parse_yaml(as_yaml(config), "config.yaml"), "config.yaml") == config


@pytest.mark.parametrize(
    ("text", "overrides", "words"),
    [
        ("data: {source: manifest, manifest: ''}", [], "data.manifest: is empty; write a value, or null"),
        ("data: {source: dicom, root: ' '}", [], "data.root: is empty"),
        ("data: {prepared: ''}", [], "data.prepared: is empty"),
        ("model: {init: ''}", [], "model.init: is empty"),
        ("data: {quarantine: [a, '']}", [], "data.quarantine: is empty"),
        ("seed: 1", ["grounding.folder=''"], "--set: grounding.folder: is empty"),
    ],
)
def test_an_empty_text_is_no_path(tmp_path: Path, text: str, overrides: list[str], words: str) -> None:
    assert words in message(tmp_path, text, *overrides)


def test_the_current_directory_and_options_of_packages_may_be_named(tmp_path: Path) -> None:
    assert load(tmp_path, "data: {prepared: .}").data.prepared == Path()
    with pytest.raises(ConfigError, match="unheard_of"):
        load(tmp_path, "data: {source: unheard_of, options: {prefix: ''}}")
