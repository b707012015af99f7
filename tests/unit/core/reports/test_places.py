"""Words that name a place."""

import pytest

from simcrop.core.reports.places import place_words


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("A nodule is seen in the upper lobe of the right lung.", "right upper"),
        ("In the RIGHT upper lobe, a nodule.", "right upper"),
        ("Nodule (RUL), 5 mm.", "right upper"),
        ("Bilateral pleural effusion.", "left right"),
        ("Effusion in both pleural spaces.", "left right"),
        ("Right- and left-sided effusion.", "left right"),
        ("Atelectasis in the posterobasal segment of the left lower lobe.", "left lower basal posterior"),
        ("Ground glass in the lingular segment and at both apices.", "lingula left right apical"),
        ("Lymph node at the right lower paratracheal station.", "right lower paratracheal"),
        ("Bibasilar subpleural reticulation, predominantly peripheral.", "basal subpleural peripheral"),
        ("Heart size is at the upper limit of normal in a middle-aged man.", ""),
        ("The uppermost brightness is outright basalt.", ""),
        ("", ""),
    ],
)
def test_places_have_one_name_each(text: str, names: str) -> None:
    assert place_words(text) == frozenset(names.split())
