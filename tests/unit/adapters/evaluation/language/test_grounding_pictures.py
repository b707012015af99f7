"""Studies whose grounding is drawn."""

from simcrop.adapters.evaluation.language.grounding_pictures import choose_studies

from simcrop.core.evaluation.grounding import Pointing


def test_studies_are_drawn_by_rule() -> None:
    def pointings(hits: str, auc: float) -> list[Pointing]:
        return [Pointing("x", hit == "1", 0.1, auc) for hit in hits]

    studies = {
        "a": pointings("00", 0.9),
        "b": pointings("11", 0.6),
        "c": pointings("1", 0.7),
        "d": pointings("10", 0.1),
        "e": pointings("0", 0.2),
    }
    assert choose_studies(studies, 1) == {"best_1": "c", "worst_1": "e", "middle_1": "d"}
    assert choose_studies(studies, 2) == {
        "best_1": "c", "best_2": "b", "worst_1": "e", "worst_2": "a", "middle_2": "d"
    }  # fmt: skip
    assert choose_studies({"a": studies["a"]}, 2) == {"best_1": "a"}
    assert choose_studies(studies, 0) == {}
