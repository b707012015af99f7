"""Words of a sentence that say where in the chest something is."""

import re
from collections.abc import Mapping

_FORMS = {
    "left": "left lt",
    "right": "right rt",
    "left right": "both bilateral bilaterally bilat",
    "upper": "upper",
    "middle": "middle mid",
    "lower": "lower",
    "left upper": "lul",
    "left lower": "lll",
    "right upper": "rul",
    "right middle": "rml",
    "right lower": "rll",
    "lingula": "lingula lingular",
    "apical": "apex apices apical",
    "apical posterior": "apicoposterior",
    "basal": "base bases basal basilar bibasal bibasilar",
    "basal anterior": "anterobasal",
    "basal posterior": "posterobasal",
    "basal lateral": "laterobasal",
    "basal medial": "mediobasal",
    "anterior": "anterior anteriorly",
    "posterior": "posterior posteriorly",
    "lateral": "lateral laterally",
    "medial": "medial medially",
    "superior": "superior superiorly",
    "inferior": "inferior inferiorly",
    "central": "central centrally",
    "peripheral": "peripheral peripherally",
    "subpleural": "subpleural",
    "fissural": "fissure fissures fissural perifissural",
    "diffuse": "diffuse diffusely widespread",
    "hilar": "hilar hilum hila hilus perihilar",
    "left right hilar": "bihilar",
    "mediastinal": "mediastinal mediastinum",
    "paratracheal": "paratracheal",
    "prevascular": "prevascular",
    "subcarinal": "subcarinal infracarinal",
    "aortopulmonary": "aortopulmonary",
    "axillary": "axillary axilla axillae",
    "supraclavicular": "supraclavicular",
    "retrocardiac": "retrocardiac",
    "paravertebral": "paravertebral paraspinal",
    "arch": "arch",
    "ascending": "ascending",
    "descending": "descending",
    "circumflex": "circumflex",
}
_NAMES: Mapping[str, frozenset[str]] = {
    form: frozenset(names.split()) for names, forms in _FORMS.items() for form in forms.split()
}
_NO_PLACE = re.compile(r"\b(?:upper|lower) (?:normal )?limits?\b|\bmiddle[- ]aged\b|\bright away\b")
_WORD = re.compile(r"[a-z]+")


def place_words(text: str) -> frozenset[str]:
    """The places that a sentence names, in any order: one name for all forms of a word.

    Args:
        text: an English sentence.

    Returns:
        Names such as "left" and "upper"; both sides are "left" and "right". Empty where the sentence names no place,
        and for other languages (docs/evaluation.md says what follows from that).
    """
    text = _NO_PLACE.sub(" ", text.lower())
    return frozenset[str]().union(*(_NAMES.get(word, frozenset()) for word in _WORD.findall(text)))
