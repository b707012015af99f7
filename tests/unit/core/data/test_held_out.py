"""The sentences of a held-out report that can be located, and the grid of their masks."""

import torch
from support.held_out_fakes import FakeSource, box, held_out

from simcrop.core.data.held_out import asserts_finding
from simcrop.core.data.study import SentenceTruth

SPOT = SentenceTruth("There is a bright spot.", "Bright spot", present=True, mask="0.nii.gz")
HEART = SentenceTruth("The heart is normal.", None, present=True, mask="1.nii.gz")
DENIED = SentenceTruth("No bright spot below.", "Bright spot", present=False, mask="1.nii.gz")
NOWHERE = SentenceTruth("Comparison is made.", None, present=True, mask=None)


def source_with(findings: str, truth: list[SentenceTruth]) -> FakeSource:
    source = FakeSource()
    source.add(0, findings, truth, bright=None)
    source.masks = {("v0", "0.nii.gz"): box((0, 0, 0), (1, 1, 1)), ("v0", "1.nii.gz"): box((8, 4, 3), (12, 8, 6))}
    return source


def test_places_follow_the_report_and_keep_only_what_is_wanted() -> None:
    text = "Comparison is made. The heart is normal. No bright spot below. There is a  BRIGHT spot."
    studies, _ = held_out(source_with(text, [SPOT, HEART, DENIED, NOWHERE]))
    places = studies.places(studies.studies[0], lambda truth: True)
    assert [(place.sentence, place.finding) for place in places] == [(1, None), (2, "Bright spot"), (3, "Bright spot")]
    assert [place.sentence for place in studies.places(studies.studies[0], asserts_finding)] == [3]


def test_masks_and_volume_are_cropped_alike() -> None:
    source = source_with("There is a bright spot.", [SPOT])
    studies, _ = held_out(source)
    mask = studies.places(studies.studies[0], asserts_finding)[0].mask
    assert mask.shape == studies.volume(studies.studies[0]).shape[1:]
    assert mask.nonzero().tolist() == [[0, 0, 0]]


def test_a_repeated_sentence_counts_once_with_all_its_places() -> None:
    again = SentenceTruth(SPOT.text, SPOT.finding, present=True, mask="1.nii.gz")
    studies, _ = held_out(source_with("There is a bright spot. There is a bright spot.", [SPOT, again]))
    places = studies.places(studies.studies[0], asserts_finding)
    assert [place.sentence for place in places] == [0]
    assert torch.equal(places[0].mask, box((0, 0, 0), (1, 1, 1)) | box((8, 4, 3), (12, 8, 6)))


def test_a_sentence_beyond_the_token_limit_is_not_read_with_its_report() -> None:
    studies, _ = held_out(source_with("The heart is normal. There is a bright spot.", [SPOT, HEART]), max_tokens=7)
    study = studies.studies[0]
    assert [place.text for place in studies.places(study, lambda truth: True)] == ["The heart is normal."]
    assert [place.text for place in studies.absent_from_report(study, lambda truth: True)] == [
        "There is a bright spot."
    ]


def test_a_sentence_of_two_findings_is_measured_for_each() -> None:
    other = SentenceTruth(SPOT.text, "Nodule", present=True, mask="1.nii.gz")
    for findings, read in {"There is a bright spot.": True, "The heart is normal.": False}.items():
        studies, _ = held_out(source_with(findings, [SPOT, other]))
        places = (studies.places if read else studies.absent_from_report)(studies.studies[0], asserts_finding)
        assert [(place.finding, place.mask.any(0).any(0)[0].item()) for place in places] == [
            ("Bright spot", True),
            ("Nodule", False),
        ]


def test_truth_of_a_sentence_that_the_findings_lack_is_left_out() -> None:
    studies, _ = held_out(source_with("The heart is normal.", [SPOT]))
    assert studies.places(studies.studies[0], asserts_finding) == []


def test_order_of_studies_does_not_depend_on_the_source() -> None:
    source = FakeSource()
    for number in range(20):
        source.add(number, "", [], bright=None)
    there, _ = held_out(source)
    source.list.reverse()
    back, _ = held_out(source)
    assert [study.study_id for study in there.studies] == [study.study_id for study in back.studies]
    assert [study.study_id for study in there.studies] != sorted(study.study_id for study in there.studies)


def test_a_label_tells_what_a_study_lacks_and_else_its_sentences_do() -> None:
    studies, _ = held_out(source_with("There is a bright spot.", [SPOT, SentenceTruth("A mass.", "Mass", True, None)]))
    [study] = studies.studies  # labelled 0, whatever it says
    assert studies.lacks(study, ["Bright spot", "Mass", "Nodule"]).tolist() == [True, False, True]
    unknown, _ = held_out(source_with("There is a bright spot.", []))
    assert unknown.lacks(study, ["Bright spot", "Mass"]).tolist() == [True, False]


def test_batches_hold_every_study_once() -> None:
    source = FakeSource()
    for number in range(5):
        source.add(number, "", [], bright=None)
    studies, _ = held_out(source)
    parts = list(studies.batches(studies.studies, 2))
    assert [len(part) for part, _ in parts] == [len(volumes) for _, volumes in parts] == [2, 2, 1]
    assert [study for part, _ in parts for study in part] == studies.studies
