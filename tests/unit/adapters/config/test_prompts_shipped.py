"""The prompts that come with simcrop: in their style, for every label of the data that they are for."""

from pathlib import Path

import pytest
from support import REPOSITORY

from simcrop.adapters.config.prompts import choose_prompts, read_prompts
from simcrop.adapters.sources.label_tables import CT_RATE, RADCHESTCT
from simcrop.core.reports.prompts import PromptTexts, denies

FOLDER = REPOSITORY / "configs" / "prompts"
STYLES = {
    "is_present": ("{Name} is present.", "{Name} is not present."),
    "there_is": ("There is {name}.", "There is no {name}."),
    "short": ("{Name}.", "No {name}."),
    "not": ("{Name}.", "Not {name}."),
    "organ": ("The {organ} shows: {name}.", "The {organ} shows: not {name}."),
}
ORGANS = {"lung", "heart", "aorta", "esophagus", "mediastinum", "chest"}
DATA = {"ct_rate": CT_RATE, "radchestct": RADCHESTCT}


def texts_of(name: str) -> dict[str, PromptTexts]:
    """The sentences of a file; every one of those that come with simcrop has sentences and no words to look for."""
    read = read_prompts(Path("configs/prompts") / f"{name}.yaml", None)
    return {finding: prompt for finding, prompt in read.items() if isinstance(prompt, PromptTexts)}


def test_there_is_no_file_that_is_not_looked_at_here() -> None:
    expected = {"organs", *(f"{data}_{style}" for data in DATA for style in (*STYLES, "ensemble"))}
    assert {path.stem for path in FOLDER.iterdir()} == expected


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.stem)
def test_its_head_says_what_it_is_for_its_style_and_who_uses_it(path: Path) -> None:
    head = path.read_text(encoding="utf-8").partition("\n\n")[0]
    assert head.startswith("# Prompts for ")
    assert "\n# Style: " in head
    assert "\n# In use: " in head
    assert "arXiv" in head or "github.com" in head


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("style", STYLES)
def test_every_label_has_one_pair_in_the_style(data: str, style: str) -> None:
    texts = texts_of(f"{data}_{style}")
    assert list(texts) == list(DATA[data])
    for name, found in texts.items():
        organ = found.present[0].split()[1] if style == "organ" else ""
        assert organ in ORGANS or style != "organ"
        words = {"name": name[0].lower() + name[1:], "Name": name, "organ": organ}
        assert found == PromptTexts(*((form.format(**words),) for form in STYLES[style]))


@pytest.mark.parametrize("data", DATA)
def test_the_ensemble_holds_four_of_the_styles(data: str) -> None:
    parts = [texts_of(f"{data}_{style}") for style in ("is_present", "there_is", "short", "organ")]
    for name, found in texts_of(f"{data}_ensemble").items():
        assert found.present == tuple(part[name].present[0] for part in parts)
        assert found.absent == tuple(part[name].absent[0] for part in parts)
    assert list(texts_of(f"{data}_ensemble")) == list(DATA[data])


def test_an_organ_has_a_sentence_of_either_state() -> None:
    texts = texts_of("organs")
    assert {"Lung", "Heart", "Aorta", "Liver", "Bones"} <= set(texts)
    for organ, found in texts.items():
        assert len(found.present) == len(found.absent) == 1, organ
        assert denies(found.absent[0]) or organ == "Airways", organ


def test_a_file_serves_data_that_have_some_of_its_findings_alone() -> None:
    name = "configs/prompts/ct_rate_short.yaml"
    assert choose_prompts(name, ["Emphysema"]) == {"Emphysema": PromptTexts(("Emphysema.",), ("No emphysema.",))}
    own = choose_prompts("configs/prompts/radchestct_short.yaml", ["Calcification"], list(RADCHESTCT))
    assert own == {"Calcification": PromptTexts(("Calcification.",), ("No calcification.",))}
