"""Sentences that assert or deny a finding: built in, given, or picked from training reports by words.

A term is one or more beginnings of words that a sentence must hold all of; one term is enough. Where a script writes
words or particles together, a term may stand inside them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from simcrop.core.reports.script import WORD, holds_unspaced

_PRESENT = ("{Name} is seen.", "There is {name}.", "{Name} is observed.")
_ABSENT = ("No {name} is seen.", "There is no {name}.", "{Name} was not observed.")
_DENIAL_WORDS = r"""
    no(?!\ (?:lobo|segmento|pulmão|terço|hemitórax|mediastino|ápice|parênquima)\b)  # not the Portuguese "in the"
    |not|without|free\ of|neither|absent|absence|negative|normal|natural|unremarkable
    |kein\w*|ohne|nicht|frei\ von|regelrecht\w*|unauffällig\w*|normale\w?
    |pas|sans|aucune?|absente?s?
    |sin|ausencia|ausente|não|sem|ausência|nem
    |non\ (?:si|è|sono|vi|ci|ha|hanno|evidenti|segni)|nessun\w*|senza|assenza
    |geen|niet|zonder
    |yok\w*|değil\w*|saptanmadı|izlenmedi|görülmedi|gözlenmedi|doğal\w*|olağan\w*
    |nie|bez|brak\w*|prawidłow\w*
    |не|нет|без|отсутств\w*|норм\w*
    |δεν|χωρίς|άνευ|απουσία|φυσιολογικ\w*
    |لا|ليس|ليست|بدون|عدم|طبيعي\w*|سليم\w*
    |[וש]?אין|ללא|לא|בלי|תקינ\w*|תקין
    |არ|გარეშე|ნორმ\w*
"""
# Words that run on into others, or end with a mark that is no letter to a regular expression.
_DENIALS_INSIDE = r"""
    未|无|無(?!気肺)|没有|阴性|正常|なし|無し|(?<!少)ない|ません|認めず|없|않|아님|정상
    |नहीं|बिना|रहित|(?<!अ)सामान्य|ไม่|(?<!ผิด)ปกติ
"""
_DENIALS = re.compile(rf"\b(?:{_DENIAL_WORDS})\b|{_DENIALS_INSIDE}", re.IGNORECASE | re.VERBOSE)
# Particles are joined to words in front (Arabic, Hebrew), nouns to nouns (Korean), and all words (Chinese and others).
_JOINED = re.compile("[\u0590-\u06ff\uac00-\ud7a3]")


@dataclass(frozen=True)
class FindingWords:
    """Words by which reports speak of a finding.

    Attributes:
        names: nouns for it, put into the built-in sentences.
        terms: what a sentence that speaks of it holds; see the top of this module.
    """

    names: tuple[str, ...]
    terms: tuple[str, ...]


WORDS: Mapping[str, FindingWords] = {
    "Medical material": FindingWords(
        ("medical material", "a catheter or pacemaker"),
        ("pacemaker", "electrode", "catheter", "sternotomy", "suture", "stent", "prosthe", "implant", "metallic"),
    ),
    "Arterial wall calcification": FindingWords(
        ("arterial wall calcification", "aortic calcification"),
        ("aort calcif", "aort ather", "arterial wall calcif", "supraaort calcif", "vascular calcif"),
    ),
    "Cardiomegaly": FindingWords(
        ("cardiomegaly", "enlargement of the heart"),
        ("cardiomegal", "cardiothoracic", "heart size", "heart contour", "heart large", "heart enlarge"),
    ),
    "Pericardial effusion": FindingWords(
        ("pericardial effusion", "pericardial fluid"), ("pericardi effusion", "pericardi fluid")
    ),
    "Coronary artery wall calcification": FindingWords(
        ("coronary artery calcification", "coronary calcified plaque"),
        ("coronary calcif", "coronary plaque", "coronary ather"),
    ),
    "Hiatal hernia": FindingWords(("hiatal hernia", "a sliding hiatal hernia"), ("hiat hernia", "sliding hernia")),
    "Lymphadenopathy": FindingWords(
        ("lymphadenopathy", "enlarged lymph node"), ("lymphadenopath", "lymph node")
    ),
    "Emphysema": FindingWords(("emphysema", "emphysematous change"), ("emphysem",)),
    "Atelectasis": FindingWords(("atelectasis", "atelectatic change"), ("atelecta",)),
    "Lung nodule": FindingWords(("pulmonary nodule", "a nodule in the lung"), ("nodul",)),
    "Lung opacity": FindingWords(
        ("lung opacity", "ground glass opacity"), ("opacit", "ground glass", "frosted glass", "groundglass")
    ),
    "Pulmonary fibrotic sequela": FindingWords(
        ("pulmonary fibrotic sequela", "fibrotic change"), ("fibro", "sequel", "scar")
    ),
    "Pleural effusion": FindingWords(
        ("pleural effusion", "fluid in the pleural space"), ("pleura effusion", "pleura fluid", "hydrothorax")
    ),
    "Mosaic attenuation pattern": FindingWords(("mosaic attenuation pattern", "mosaic perfusion"), ("mosaic",)),
    "Peribronchial thickening": FindingWords(
        ("peribronchial thickening", "bronchial wall thickening"), ("peribronch", "bronch wall", "bronch thick")
    ),
    "Consolidation": FindingWords(("consolidation", "consolidated lung"), ("consolidat",)),
    "Bronchiectasis": FindingWords(("bronchiectasis", "dilated bronchus"), ("bronchiecta", "bronch dilat")),
    "Interlobular septal thickening": FindingWords(
        ("interlobular septal thickening", "thickening of the interlobular septa"), ("septa thick", "septum thick")
    ),
}  # fmt: skip
"""CT-RATE's labels in the language of its reports; other labels are spoken of by their own name."""


@dataclass(frozen=True)
class PromptTexts:
    """Sentences that speak of one finding; those that came from reports are read there, others as texts of their own.

    Attributes:
        present: those that assert it.
        absent: those that deny it.
    """

    present: tuple[str, ...]
    absent: tuple[str, ...]


Prompt = PromptTexts | FindingWords
"""Sentences of a finding, or the words by which training reports are searched for them."""


def words_of(finding: str) -> FindingWords:
    """The words for a finding: ours, or its own name, by which the sentence must hold every word."""
    name = finding.replace("_", " ").strip().lower()
    return WORDS.get(finding) or FindingWords((name,), (name,))


def templates(finding: str) -> PromptTexts:
    """The built-in sentences of a finding."""
    names = words_of(finding).names

    def filled(forms: Sequence[str]) -> tuple[str, ...]:
        sentences = (form.format(name=name, Name=name[0].upper() + name[1:]) for name in names for form in forms)
        return tuple(sentence.replace("No a ", "No ").replace("no a ", "no ") for sentence in sentences)

    return PromptTexts(filled(_PRESENT), filled(_ABSENT))


def normal_findings() -> list[str]:
    """Findings of a report that denies everything: company for a sentence whose own report is not known."""
    return [templates(finding).absent[0] for finding in WORDS]


def speaks_of(terms: Sequence[str]) -> Callable[[str], bool]:
    """Says whether a sentence holds all beginnings of words of one of the terms."""
    wanted = [term.casefold().split() for term in terms]

    def says(sentence: str) -> bool:
        words = WORD.findall(sentence.casefold())
        return any(all(any(_holds(word, start) for word in words) for start in starts) for starts in wanted)

    return says


def _holds(word: str, start: str) -> bool:
    return word.startswith(start) or (start in word and (holds_unspaced(start) or _JOINED.search(start) is not None))


def denies(sentence: str) -> bool:
    """Whether a sentence holds a word of denial or of normality, in one of the languages of docs/own-data.md."""
    return _DENIALS.search(sentence) is not None
