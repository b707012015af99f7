"""Tests lie where their modules do: simcrop/X/Y.py is tested by tests/unit/X/test_Y.py or test_Y_MORE.py."""

from collections.abc import Iterator
from pathlib import Path

from support import REPOSITORY

ROOTS = {"simcrop": "", "cli/simcrop_cli": "cli", "benchmarks": "benchmarks"}
"""Folder of modules -> folder of their tests below tests/unit."""
TESTED_BY_HAND = "benchmarks"
"""Programs that are run by hand, where a test is a bonus."""

_TYPES = "types alone"
_FORWARDS = "hands its options to one function, which is tested"
_PHANTOM = "drawn and painted together: phantom/test_specification.py and phantom/test_phantom.py look at the result"
WITHOUT = {
    "cli/simcrop_cli/applying.py": "what tests/e2e/test_embed.py and test_predict.py read on the screen",
    "cli/simcrop_cli/data_check.py": _FORWARDS,
    "cli/simcrop_cli/data_index.py": "typed by tests/e2e/test_data_index.py",
    "cli/simcrop_cli/data_prepare.py": "typed by tests/e2e/test_prepare.py",
    **{
        f"cli/simcrop_cli/eval_{task}.py": _FORWARDS
        for task in ("finetune", "grounding", "knn", "probe", "retrieval", "segment", "zeroshot")
    },
    "cli/simcrop_cli/embed.py": "typed by tests/e2e/test_embed.py",
    "cli/simcrop_cli/info.py": _FORWARDS,
    "cli/simcrop_cli/options.py": _TYPES,
    "cli/simcrop_cli/report.py": _FORWARDS,
    "cli/simcrop_cli/predict.py": "typed by tests/e2e/test_predict.py",
    "simcrop/adapters/evaluation/segmentation/monai_parts.py": "names of MONAI; tests/e2e/test_segment.py goes without",
    "simcrop/adapters/export/results.py": "read into the cards of tests/unit/compose/test_exporting.py",
    **{
        f"simcrop/adapters/sources/phantom/{name}.py": _PHANTOM
        for name in ("anatomy", "body", "findings", "lung_lesions", "normals", "other_lesions", "phrases")
    },
    "simcrop/adapters/sources/phantom/scene.py": _PHANTOM,
    **{
        f"simcrop/compose/{name}.py": "looked at from outside: compose/test_trained.py"
        for name in ("looking", "trained_encoder", "view")
    },
    "simcrop/core/ops.py": _TYPES,
    "simcrop/core/recipe/augment.py": "what it refuses stands in core/recipe/test_section.py",
    "simcrop/core/training/stopping.py": "an exception, raised and caught in tests of what stops",
    "simcrop/kernels/patch_tiles.py": "compiled one by one by tests/unit/benchmarks/test_compile_matrix.py",
    "simcrop/kernels/patch_tokens.py": "the end of two kernels: test_patch_product.py and test_patch_fused.py",
}
"""Modules that need no test file of their own, and why."""


def named(root: Path) -> dict[Path, Path]:
    """Module or package of a repository -> its test file without suffixes; a package has it in its own folder too."""
    found: dict[Path, Path] = {}
    for modules, tests in ROOTS.items():
        for path in sorted((root / modules).rglob("*.py")):
            folder = Path("tests/unit", tests, path.parent.relative_to(root / modules))
            name = (path.parent if path.name == "__init__.py" else path).stem.strip("_")
            found[path.relative_to(root)] = folder / f"test_{name}"
    return found


def owner(test: Path, names: dict[Path, Path]) -> Path | None:
    """The module that a test file is named after: the one with the longest name that fits."""
    stem = test.with_suffix("")
    fitting = [
        module
        for module, name in names.items()
        if name.parent == stem.parent and f"{stem.name}_".startswith(f"{name.name}_")
    ]
    return max(fitting, key=lambda module: len(names[module].name), default=None)


def files_of_tests(root: Path) -> list[Path]:
    """Test files below tests/unit, relative to the root."""
    return sorted(path.relative_to(root) for path in (root / "tests/unit").rglob("test_*.py"))


def strangers(root: Path) -> list[str]:
    """Test files that are named after no module of their folder."""
    names = named(root)
    return [str(test) for test in files_of_tests(root) if owner(test, names) is None]


def untested(root: Path) -> Iterator[str]:
    """Modules after which no test file is named."""
    names = named(root)
    owners = {owner(test, names) for test in files_of_tests(root)}
    for module in names:
        if module.name != "__init__.py" and module.parts[0] != TESTED_BY_HAND and module not in owners:
            yield str(module)


def test_every_test_file_is_named_after_a_module_or_package() -> None:
    assert strangers(REPOSITORY) == []


def test_every_module_has_a_test_file_but_those_that_are_listed() -> None:
    assert sorted(untested(REPOSITORY)) == sorted(WITHOUT)


def test_both_checks_find_what_they_look_for(tmp_path: Path) -> None:
    modules = "core/__init__ core/loss core/loss_of_two core/model/__init__ core/model/encoder core/model/decoder"
    tests = "core/test_loss core/test_loss_of_two_by_hand core/test_losses core/test_encoder core/model/test_encoder"
    paths = [f"simcrop/{name}.py" for name in modules.split()]
    paths += [f"tests/unit/{name}.py" for name in [*tests.split(), "core/model/test_model_on_a_gpu", "cli/test_main"]]
    for name in (*paths, "cli/simcrop_cli/__main__.py", "cli/simcrop_cli/train.py", "benchmarks/speed.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert strangers(tmp_path) == ["tests/unit/core/test_encoder.py", "tests/unit/core/test_losses.py"]
    assert list(untested(tmp_path)) == ["simcrop/core/model/decoder.py", "cli/simcrop_cli/train.py"]
