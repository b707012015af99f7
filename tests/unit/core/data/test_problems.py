"""The table of reasons, and what is told of one."""

import pickle

import pytest
from support.problems_guide import GUIDE, guide_text

from simcrop.core.data.problems import REASONS, BadFileError, problem, refuse


def test_the_guide_lists_every_reason_as_it_is() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    assert guide == guide_text(guide), "refresh it with: make guides"


def test_codes_stand_in_their_groups() -> None:
    groups = [code.split(".")[0] for code in REASONS]
    assert list(dict.fromkeys(groups)) == ["container", "header", "content", "text", "masks", "set", "safety"]
    assert groups == sorted(groups, key=list(dict.fromkeys(groups)).index)
    assert all(reason.cause and reason.remedy for reason in REASONS.values())


def test_an_error_is_refused_with_its_remedy_and_a_note_is_not() -> None:
    refuse(problem("v.nii", "header.units", "has no units"))
    with pytest.raises(BadFileError, match=r"^v\.nii: is empty \(0 bytes\); download it again$"):
        refuse(problem("v.nii", "container.empty", "is empty (0 bytes)"))


def test_a_refusal_comes_whole_out_of_another_process() -> None:
    error = BadFileError(problem("v.nii", "container.length", "ends early", bytes=3))
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.problem) == (str(error), error.problem)


def test_a_row_is_json_with_what_was_measured() -> None:
    row = problem("v.nii", "header.spacing", "its voxels are 0.001 mm large", spacing_mm=[0.001]).as_row()
    assert row == {
        "file": "v.nii",
        "code": "header.spacing",
        "severity": "error",
        "message": "its voxels are 0.001 mm large",
        "hint": REASONS["header.spacing"].remedy,
        "values": {"spacing_mm": [0.001]},
    }
