"""The labels of a data set, and their values for each study."""

import re
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest
import torch

from simcrop.adapters.sources.label_tables import LABELS, RADCHESTCT
from simcrop.adapters.sources.registry import SOURCES
from simcrop.core.data.study import Report, Study
from simcrop.core.errors import ConfigError, DataError
from simcrop.core.evaluation import labels
from simcrop.core.evaluation.labels import LabelColumns, LearnedFrom, labelled_studies
from simcrop.core.evaluation.settings import LabelSettings
from simcrop.core.ports import DataSet


def label_columns(known: Sequence[str], settings: LabelSettings, source: str) -> LabelColumns:
    kind = SOURCES[source]
    data_set = SimpleNamespace(
        label_names=known, label_table=kind.label_table, has_exclusive_labels=kind.has_exclusive_labels
    )
    return labels.label_columns(cast("DataSet", data_set), settings, source)


def study(number: int, **values: int) -> Study:
    return Study(f"s{number}", f"p{number // 2}", Report("", ""), (f"v{number}",), labels=values)


def columns(*names: str, exclusive: bool = False) -> LabelColumns:
    return LabelColumns(names, exclusive, {name: (name,) for name in names})


def test_all_columns_are_taken_or_those_that_are_named_in_their_order() -> None:
    known = ("Emphysema", "Lung nodule", "Atelectasis")
    assert label_columns(known, LabelSettings(), "manifest").names == known
    some = label_columns(known, LabelSettings(names=("Atelectasis", "Emphysema")), "manifest")
    assert some.names == ("Atelectasis", "Emphysema")
    assert some.table([study(0, **{"Emphysema": 1, "Lung nodule": 1, "Atelectasis": 0})]).tolist() == [[False, True]]


def test_a_data_set_without_labels_and_a_label_it_lacks_are_refused_with_the_remedy() -> None:
    with pytest.raises(DataError, match=r"^data: dicom has no label column here; put its table of labels in place"):
        label_columns((), LabelSettings(), "dicom")
    with pytest.raises(ConfigError) as error:
        label_columns(("Emphysema", "Mass"), LabelSettings(names=("Emphysem",)), "manifest")
    assert str(error.value) == (
        "labels.names: 'Emphysem' is no label column of the data (nearly all cells of such a column say yes or no); "
        "did you mean 'Emphysema'?"
    )
    with pytest.raises(ConfigError, match=r"it has Emphysema, Mass$"):
        label_columns(("Emphysema", "Mass"), LabelSettings(names=("Fracture",)), "manifest")


def test_classes_are_exclusive_in_cc_ccii_or_where_that_is_said() -> None:
    known = ("CP", "NCP", "Normal")
    assert label_columns(known, LabelSettings(), "cc_ccii").exclusive
    assert not label_columns(known, LabelSettings(task="multilabel"), "cc_ccii").exclusive
    assert not label_columns(known, LabelSettings(), "manifest").exclusive
    assert label_columns(known, LabelSettings(task="multiclass"), "manifest").exclusive
    with pytest.raises(ConfigError, match="CP alone is no choice between classes; name two or more"):
        label_columns(known, LabelSettings(names=("CP",)), "cc_ccii")
    both = columns("CP", "NCP", exclusive=True)
    assert both.table([study(0, CP=0, NCP=1)]).tolist() == [[False, True]]
    for wrong, count in ((study(3, CP=1, NCP=1), 2), (study(3, CP=0, NCP=0), 0)):
        with pytest.raises(DataError, match=rf"^s3: has {count} of the classes CP, NCP, not exactly one"):
            both.table([study(0, CP=0, NCP=1), wrong])


def test_rad_chestct_has_the_sixteen_labels_of_ct_rate_any_column_of_which_counts() -> None:
    known = tuple(sorted({column for behind in RADCHESTCT.values() for column in behind} | {"fracture"}))
    found = label_columns(known, LabelSettings(), "radchestct")
    assert len(found.names) == 16
    assert found.names[:3] == ("Medical material", "Calcification", "Cardiomegaly")
    labels = dict.fromkeys(known, 0) | {"stent": 1, "hernia": 1}
    has = dict(zip(found.names, found.table([study(0, **labels)])[0].tolist(), strict=True))
    assert [name for name, value in has.items() if value] == ["Medical material", "Hiatal hernia"]
    own = label_columns(known, LabelSettings(names=("fracture", "Hiatal hernia")), "radchestct")
    assert own.table([study(0, **labels)]).tolist() == [[False, True]]
    assert label_columns(("fracture",), LabelSettings(names=("fracture",)), "radchestct").names == ("fracture",)


@pytest.mark.parametrize(
    ("source", "lacking", "said"),
    [
        ("radchestct", ("hernia",), "'hernia' of the label 'Hiatal hernia' (one of 1 such columns)"),
        (
            "radchestct",
            ("stent", "staple", "nodule"),
            "'staple' of the label 'Medical material' (one of 3 such columns)",
        ),
        ("ct_rate", ("Hiatal hernia", "Atelectasis"), "'Hiatal hernia' (one of 2 such columns)"),
        ("phantom", ("Bronchiectasis",), "'Bronchiectasis' (one of 1 such columns)"),
    ],
)
def test_a_column_that_a_fixed_table_lacks_is_refused_unless_other_labels_are_chosen(
    source: str, lacking: tuple[str, ...], said: str
) -> None:
    whole = [*LABELS] if source != "radchestct" else [column for behind in RADCHESTCT.values() for column in behind]
    assert len(label_columns(whole, LabelSettings(), source).names) == (16 if source == "radchestct" else 18)
    known = [name for name in whole if name not in lacking]
    with pytest.raises(DataError) as error:
        label_columns(known, LabelSettings(), source)
    assert str(error.value) == (
        f"data: the table of labels of {source} lacks the column {said}; put the whole table in place, or choose among "
        "the other labels by labels.names"
    )
    others = LabelSettings(names=("Emphysema", "Consolidation"))
    assert label_columns(known, others, source).names == others.names
    label = next(name for name in LABELS if repr(name) in said)
    with pytest.raises(DataError, match=r"lacks the column"):
        label_columns(known, LabelSettings(names=("Emphysema", label)), source)


def test_a_study_without_a_label_is_refused_or_left_out(caplog: pytest.LogCaptureFixture) -> None:
    studies = [study(0, A=1, B=0), study(1, A=1), study(2)]
    message = "s1: has no label 'B' (one of 2 such studies); add it to the table of labels, name other labels by "
    message += "labels.names, or leave such studies out by labels.skip_unlabelled=true"
    with pytest.raises(DataError, match=rf"^{re.escape(message)}$"):
        labelled_studies(studies, columns("A", "B"), skip=False)
    with caplog.at_level("WARNING"):
        assert labelled_studies(studies, columns("A", "B"), skip=True) == studies[:1]
    assert "2 of 3 studies lack a label and are left out" in caplog.text
    assert labelled_studies(studies[:2], columns("A"), skip=False) == studies[:2]


def test_what_was_learned_from_is_counted() -> None:
    truth = torch.tensor([[True, True, False], [True, False, False], [True, True, False]])
    counts = LearnedFrom.of([study(0), study(1), study(2)], truth)
    assert counts == LearnedFrom(3, 2, (3, 2, 0))
    assert counts.has_both.tolist() == [False, True, False]
