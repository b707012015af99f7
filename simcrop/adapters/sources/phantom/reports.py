"""The words of a phantom report: one sentence a finding, normal statements between them, and an impression."""

from dataclasses import dataclass

import numpy as np

from simcrop.adapters.sources.phantom.findings import RULES
from simcrop.adapters.sources.phantom.normals import NORMALS, Normal
from simcrop.adapters.sources.phantom.phrases import IMPRESSION, NO_FINDINGS, POSITIVE
from simcrop.adapters.sources.phantom.sites import Lesion, pick

MIN_SENTENCES, MAX_SENTENCES = 6, 20


@dataclass(frozen=True)
class Sentence:
    """A sentence of the findings and what it points at.

    Attributes:
        text: as it stands in the report.
        form: the form it was made from, slots unfilled.
        finding: label it speaks of, or None.
        present: True if it asserts the finding.
        place: organ name, or the number of the lesion, or None.
    """

    text: str
    form: str
    finding: str | None
    present: bool
    place: str | int | None


def forms() -> tuple[str, ...]:
    """Every sentence form of the findings section."""
    positive = [form for group in POSITIVE.values() for form in group]
    return (*positive, *(form for normal in NORMALS for form in normal.forms))


def write_findings(lesions: tuple[Lesion, ...], generator: np.random.Generator) -> tuple[Sentence, ...]:
    """Sentences of the findings section in reading order: each lesion, and about as many normal statements."""
    ordered: list[tuple[float, Sentence]] = []
    for number, lesion in enumerate(lesions):
        ordered.append((RULES[lesion.finding].order, _positive(number, lesion, generator)))
    present = {lesion.finding for lesion in lesions}
    allowed = [n for n in NORMALS if n.finding not in present and not n.unless & present]
    wanted = len(lesions) + int(generator.integers(0, 3))
    count = int(np.clip(wanted, max(MIN_SENTENCES - len(lesions), 2), min(len(allowed), MAX_SENTENCES - len(lesions))))
    for index in generator.choice(len(allowed), size=count, replace=False):
        normal = allowed[int(index)]
        ordered.append((normal.order + 0.1, _normal(normal, generator)))
    return tuple(sentence for _, sentence in sorted(ordered, key=lambda pair: pair[0]))


def write_impression(lesions: tuple[Lesion, ...], generator: np.random.Generator) -> str:
    """One to three sentences about what was found, or "Not given." now and then."""
    if generator.uniform() < 0.08:
        return "Not given."
    if not lesions:
        return pick(generator, NO_FINDINGS)
    count = min(len(lesions), int(generator.integers(1, 4)))
    chosen = sorted(generator.choice(len(lesions), size=count, replace=False))
    sentences = [_fill(pick(generator, IMPRESSION[lesions[i].finding]), lesions[i]) for i in chosen]
    return " ".join(dict.fromkeys(sentences))


def _positive(number: int, lesion: Lesion, generator: np.random.Generator) -> Sentence:
    group = POSITIVE.get(lesion.finding) or POSITIVE[f"{lesion.finding}/{lesion.kind}"]
    form = pick(generator, group)
    return Sentence(_fill(form, lesion), form, lesion.finding, True, number)


def _normal(normal: Normal, generator: np.random.Generator) -> Sentence:
    form = pick(generator, normal.forms)
    return Sentence(form, form, normal.finding, False, normal.place)


def _fill(form: str, lesion: Lesion) -> str:
    place = lesion.place
    return form.format(place=place, Place=place[0].upper() + place[1:], size=f"{lesion.size_mm:.1f}")
