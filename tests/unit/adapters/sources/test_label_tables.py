"""Names of labels."""

from simcrop.adapters.sources.label_tables import CT_RATE, LABELS, RADCHESTCT


def test_ct_rates_eighteen_labels_are_columns_of_their_own() -> None:
    assert len(set(LABELS)) == 18
    assert {name: (name,) for name in LABELS} == CT_RATE


def test_rad_chestcts_sixteen_have_ct_rates_names_but_for_the_calcification_of_any_wall() -> None:
    assert set(RADCHESTCT) - set(LABELS) == {"Calcification"}
    assert len(RADCHESTCT) == 16


def test_no_column_counts_for_two_labels() -> None:
    columns = [column for behind in RADCHESTCT.values() for column in behind]
    assert len(columns) == len(set(columns))
