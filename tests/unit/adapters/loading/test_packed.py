"""Studies come out of their arrays as they went in."""

import pickle

from hypothesis import given
from hypothesis import strategies as st

from simcrop.adapters.loading.packed import PackedStudies
from simcrop.core.data.study import Report, Study

TEXT = st.text()
STUDIES = st.lists(
    st.builds(
        Study,
        study_id=TEXT,
        patient_id=TEXT,
        report=st.builds(Report, TEXT, TEXT),
        reconstructions=st.lists(TEXT, min_size=1).map(tuple),
        split=st.sampled_from([None, "train", "validation"]),
        labels=st.dictionaries(TEXT, st.integers(0, 1)),
    ),
    max_size=4,
)


@given(STUDIES)
def test_studies_are_the_same_here_and_in_another_process(studies: list[Study]) -> None:
    packed = PackedStudies(studies)
    assert len(packed) == len(studies)
    for there in (packed, pickle.loads(pickle.dumps(packed))):
        assert [there[index] for index in range(len(studies))] == studies
