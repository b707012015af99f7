"""Trees of numbers become tables: each number beside its interval and chance."""

from simcrop.adapters.pages.metric_tables import metric_tables, number, summary_tables, words

AREA = {"value": 0.75, "low": 0.7, "high": 0.8}


def test_numbers_stand_beside_their_interval_and_chance() -> None:
    metrics = {
        "num_test": 332,
        "auroc": AREA,
        "hit_rate": {"value": 0.5, "low": None, "high": None},
        "hit_rate_chance": {"value": 0.06, "low": 0.05, "high": 0.07},
        "protocol": "honest",
        "dice": {"value": None, "low": None, "high": None},
    }
    (table,) = metric_tables(metrics)
    assert table.columns == ("measure", "value", "chance")
    assert table.rows == [
        ("number of test", "332", ""),
        ("AUROC", ("0.750", "0.700 to 0.800"), "0.500"),
        ("hit rate", "0.500", "0.060"),
        ("dice", "", ""),
    ]


def test_groups_become_tables_of_their_own() -> None:
    findings = {
        "Emphysema": {"num_positive": 3, "auroc": AREA, "prompts": {"present": ["a"]}},
        "Nodule": {"auroc": AREA, "recall": 0.25},
    }
    metrics = {"findings": findings, "report_to_volume": {"recall_at_5": AREA}, "chosen": {"loss": 0.5}}
    by_finding, retrieval = metric_tables(metrics)
    assert (by_finding.title, by_finding.columns) == ("findings", ("", "number of positive", "AUROC", "recall"))
    assert by_finding.rows == [
        ("Emphysema", "3", ("0.750", "0.700 to 0.800"), ""),
        ("Nodule", "", ("0.750", "0.700 to 0.800"), "0.250"),
    ]
    assert (retrieval.title, retrieval.rows[0][0]) == ("report to volume", "recall at 5")


def test_a_summary_is_divided_by_what_its_numbers_are_of() -> None:
    summary = {
        "step": 500,
        "grounding_hit_rate": 0.71,
        "grounding_chance": 0.06,
        "grounding_findings": {"Nodule": {}},
        "probe_auroc": 0.62,
    }
    maps, probe, run = summary_tables(summary)
    assert (maps.title, maps.rows) == ("maps of sentences", [("hit rate", "0.710", "0.060")])
    assert (probe.title, probe.rows) == ("linear probe", [("AUROC", "0.620", "0.500")])
    assert (run.title, run.rows) == ("run", [("step", "500", "")])


def test_numbers_and_keys_are_written_for_people() -> None:
    assert [number(value) for value in (None, 3, 0.0, 0.12345, 12345.6, 0.00001234)] == [
        "", "3", "0.000", "0.123", "1.23e+04", "1.23e-05"
    ]  # fmt: skip
    assert words("probe_auroc_f1_num_test") == "probe AUROC F1 number of test"
