"""The code that reads files and reports does not change without a thought for what is remembered of them."""

import json

from support.judges import KEPT, VERSIONS, digest_of, judges_now


def test_what_judges_files_is_as_it_was_under_these_versions() -> None:
    kept, now = json.loads(KEPT.read_text(encoding="utf-8")), judges_now()
    changed = sorted({module for module, _ in {*kept["modules"].items()} ^ {*now["modules"].items()}})
    remedies = ", or ".join(f"{what}, raise VERSION in {path}" for path, (_, what) in VERSIONS.items())
    remedy = f"changed: {', '.join(changed)}. If a file or a report is now {remedies}"
    assert kept == now, f"{remedy}; then: cd tests && python -m support.judges"


def test_code_counts_and_nothing_else() -> None:
    code = 'A = 1\n"""Of A."""\n\n\ndef f(x: int) -> int:\n    """What f does."""\n    return x if x > A else 0\n'
    same = "# why\nA = (1)\ndef f(x: int) -> int:\n    return (x\n        if x > A else 0)  # here\n"
    assert digest_of(code) == digest_of(same)
    assert digest_of(code) != digest_of(code.replace("x > A", "x >= A"))
    assert digest_of(code) != digest_of(code.replace("A = 1", "A = 2"))


def test_every_reader_of_voxels_and_rule_of_sentences_is_among_them() -> None:
    readers = ("nifti_header", "metaimage", "nrrd", "dicom_series", "dicom_pixels", "dicom_enhanced", "npz", "stored")
    modules = [*(f"formats.{name}" for name in readers), "problems.content", "sources.indexing.entries"]
    rules = [f"simcrop.core.reports.{name}" for name in ("text", "lines", "markup", "abbreviations")]
    assert {*rules, *(f"simcrop.adapters.{name}" for name in modules)} <= {*judges_now()["modules"]}
