"""Metrics against scikit-learn, and by hand where that one has no answer."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from simcrop.core.errors import InputError
from simcrop.core.evaluation.classification import Measurement, Predicted, measure, metrics_of

COARSE = st.sampled_from([0.0, 0.2, 0.4999, 0.5, 0.7, 1.0])
"""Few values, so that ties are the rule."""


def findings(scores: list[list[float]], truth: list[list[bool]]) -> Predicted:
    table = torch.tensor(scores, dtype=torch.float64)
    return Predicted(
        table, torch.tensor(truth), [str(n) for n in range(len(table))], False, torch.ones(table.shape[1]).bool()
    )


def values(
    predicted: Predicted, weights: torch.Tensor | None = None
) -> tuple[dict[str, float], dict[str, list[float]]]:
    alone = torch.ones(1, len(predicted.patients), dtype=torch.float64) if weights is None else weights[None]
    overall, by_label = metrics_of(predicted, alone)
    return {k: v.item() for k, v in overall.items()}, {k: v[0].tolist() for k, v in by_label.items()}


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[list[float]], list[list[bool]], list[int]]:
    n, columns = draw(st.integers(2, 20)), draw(st.integers(1, 4))
    scores = draw(st.lists(st.lists(COARSE, min_size=columns, max_size=columns), min_size=n, max_size=n))
    truth = draw(st.lists(st.lists(st.booleans(), min_size=columns, max_size=columns), min_size=n, max_size=n))
    weights = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n).filter(any))
    return scores, truth, weights


@settings(deadline=None, max_examples=60)
@given(tables())
def test_findings_equal_scikit_learn_with_ties_single_classes_and_weights(
    table: tuple[list[list[float]], list[list[bool]], list[int]],
) -> None:
    predicted = findings(*table[:2])
    weights = torch.tensor(table[2], dtype=torch.float64)
    overall, by_label = values(predicted, weights)
    truth, said, w = predicted.truth.numpy(), predicted.positive.numpy(), weights.numpy()
    assert (said == (predicted.scores.numpy() >= 0.5)).all()
    areas: list[float] = []
    for column in range(truth.shape[1]):
        y, p = truth[:, column], said[:, column]
        arguments = {"sample_weight": w, "zero_division": 0}
        assert by_label["f1"][column] == pytest.approx(sk.f1_score(y, p, **arguments), abs=1e-12)
        assert by_label["precision"][column] == pytest.approx(sk.precision_score(y, p, **arguments), abs=1e-12)
        assert by_label["recall"][column] == pytest.approx(sk.recall_score(y, p, **arguments), abs=1e-12)
        assert by_label["accuracy"][column] == pytest.approx(sk.accuracy_score(y, p, sample_weight=w), abs=1e-12)
        weighted = sk.f1_score(y, p, average="weighted", **arguments)
        assert by_label["f1_weighted"][column] == pytest.approx(weighted, abs=1e-12)
        specificity = sk.recall_score(~y, ~p, **arguments)
        assert by_label["specificity"][column] == pytest.approx(specificity, abs=1e-12)
        if len(set(y[w > 0])) == 2:
            areas.append(sk.roc_auc_score(y, predicted.scores[:, column].numpy(), sample_weight=w))
            assert by_label["auroc"][column] == pytest.approx(areas[-1], abs=1e-12)
        else:
            assert math.isnan(by_label["auroc"][column])
    expected = {
        "auroc": sum(areas) / len(areas) if areas else math.nan,
        "accuracy": sk.accuracy_score(truth.ravel(), said.ravel(), sample_weight=w.repeat(truth.shape[1])),
        "f1_macro": sum(by_label["f1"]) / truth.shape[1],
        "f1_micro": sk.f1_score(truth.ravel(), said.ravel(), sample_weight=w.repeat(truth.shape[1]), zero_division=0),
        "precision_micro": sk.precision_score(
            truth.ravel(), said.ravel(), sample_weight=w.repeat(truth.shape[1]), zero_division=0
        ),
        "f1_weighted": sum(by_label["f1_weighted"]) / truth.shape[1],
        **{f"{name}_macro": sum(by_label[name]) / truth.shape[1] for name in ("precision", "recall", "specificity")},
    }
    assert overall == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_findings_equal_scikit_learn_on_a_table_of_usual_size() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(500, 6, generator=generator) < torch.linspace(0.02, 0.6, 6)
    scores = (0.3 * truth + torch.rand(500, 6, generator=generator, dtype=torch.float64)).clamp(0, 1)
    overall, _ = values(findings(scores.tolist(), truth.tolist()))
    said = (scores >= 0.5).numpy()
    assert overall["auroc"] == pytest.approx(sk.roc_auc_score(truth.numpy(), scores.numpy(), average="macro"))
    for average in ("macro", "micro"):
        assert overall[f"f1_{average}"] == pytest.approx(sk.f1_score(truth.numpy(), said, average=average))
    assert overall["precision_micro"] == pytest.approx(sk.precision_score(truth.numpy(), said, average="micro"))


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 4), st.integers(2, 30), st.integers(0, 10**6))
def test_classes_equal_scikit_learn(num_classes: int, n: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(num_classes, (n,), generator=generator)
    scores = torch.randint(1, 5, (n, num_classes), generator=generator).double()
    scores = scores / scores.sum(1, keepdim=True)
    truth = torch.nn.functional.one_hot(target, num_classes).bool()
    learned = torch.ones(num_classes).bool()
    overall, by_label = values(Predicted(scores, truth, [str(i) for i in range(n)], True, learned))
    said = scores.argmax(1).numpy()
    labels = list(range(num_classes))
    f1 = sk.f1_score(target.numpy(), said, average="macro", labels=labels, zero_division=0)
    assert overall["accuracy"] == pytest.approx(sk.accuracy_score(target.numpy(), said))
    assert overall["f1_macro"] == pytest.approx(f1)
    weighted = sk.f1_score(target.numpy(), said, average="weighted", labels=labels, zero_division=0)
    assert overall["f1_weighted"] == pytest.approx(weighted)
    assert set(overall) == {"auroc", "accuracy", "f1_macro", "f1_weighted"}
    if len(set(target.tolist())) == num_classes:
        expected = (
            sk.roc_auc_score(target.numpy(), scores.numpy(), multi_class="ovr", average="macro")
            if num_classes > 2
            else sk.roc_auc_score(target.numpy(), scores[:, 1].numpy())
        )
        assert overall["auroc"] == pytest.approx(expected)
    else:
        assert any(math.isnan(area) for area in by_label["auroc"])


def test_a_finding_that_was_not_learned_counts_nowhere() -> None:
    truth = [[True, False], [False, True], [True, True], [False, False]]
    scores = [[0.9, 0.9], [0.2, 0.1], [0.3, 0.2], [0.1, 0.7]]
    both = findings(scores, truth)
    one = Predicted(both.scores, both.truth, both.patients, False, torch.tensor([True, False]))
    first = findings([row[:1] for row in scores], [row[:1] for row in truth])
    assert values(one)[0] == values(first)[0]
    assert math.isnan(values(one)[1]["f1"][1])
    assert math.isnan(values(one)[1]["auroc"][1])


def test_a_class_that_was_not_learned_has_no_area_and_its_studies_are_errors() -> None:
    scores = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.6, 0.4, 0.0]], dtype=torch.float64)
    predicted = Predicted(scores, torch.eye(3).bool(), ["a", "b", "c"], True, torch.tensor([True, True, False]))
    overall, by_label = values(predicted)
    assert overall["accuracy"] == pytest.approx(2 / 3)
    assert by_label["f1"] == pytest.approx([2 / 3, 1.0, 0.0])
    assert math.isnan(by_label["auroc"][2])
    assert overall["auroc"] == 1.0


def estimates(measured: Measurement) -> list[tuple[float, float, float]]:
    every = [*measured.overall.values(), *(each for row in measured.by_label.values() for each in row)]
    return [(each.low, each.value, each.high) for each in every]


def test_intervals_surround_the_values_and_depend_on_the_seed_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(120, 3, generator=generator) < 0.4
    scores = (0.2 * truth + 0.8 * torch.rand(120, 3, generator=generator, dtype=torch.float64)).clamp(0, 1)
    predicted = findings(scores.tolist(), truth.tolist())
    first, again, other = (measure(predicted, num_draws=100, confidence=0.9, seed=seed) for seed in (0, 0, 1))
    assert first == again != other
    assert all(low < value < high for low, value, high in estimates(first))
    wider = measure(predicted, num_draws=100, confidence=0.99, seed=0)
    assert all(w[0] <= f[0] and f[2] <= w[2] for f, w in zip(estimates(first), estimates(wider), strict=True))
    without = measure(predicted, num_draws=0, confidence=0.9, seed=0)
    assert all(math.isnan(low) and math.isnan(high) for low, _, high in estimates(without))
    assert without.overall["auroc"].value == first.overall["auroc"].value


def test_a_label_without_an_area_has_no_interval_either() -> None:
    predicted = findings([[0.1, 0.2], [0.7, 0.9], [0.3, 0.4]], [[False, False], [True, False], [False, False]])
    area = measure(predicted, num_draws=50, confidence=0.9, seed=0).by_label["auroc"][1]
    assert math.isnan(area.value)
    assert math.isnan(area.low)


def test_impossible_tables_are_refused() -> None:
    with pytest.raises(InputError, match="a score is NaN"):
        findings([[math.nan]], [[True]])
    with pytest.raises(InputError, match=r"truth: expected shape \(1, 1\), got \(2, 1\)"):
        findings([[0.5]], [[True], [False]])


def test_other_thresholds_by_hand() -> None:
    """The first finding is cut at 0.3: two hits, one false alarm, one rejection. The second has no threshold."""
    scores = [[0.9, 0.9], [0.3, 0.1], [0.4, 0.2], [0.1, 0.7]]
    truth = [[True, False], [True, True], [False, True], [False, False]]
    cut = findings(scores, truth).at([0.3, math.nan])
    overall, by_label = values(cut)
    assert cut.positive[:, 0].tolist() == [True, True, True, False]
    first = {name: value[0] for name, value in by_label.items()}
    assert first == pytest.approx(
        {
            "auroc": 0.75,
            "accuracy": 0.75,
            "f1": 0.8,
            "precision": 2 / 3,
            "recall": 1.0,
            "specificity": 0.5,
            "f1_weighted": (0.8 + 2 / 3) / 2,
        }
    )
    assert all(math.isnan(value[1]) for value in by_label.values())
    assert overall["f1_macro"] == pytest.approx(0.8)
    assert overall["specificity_macro"] == 0.5
    assert overall["f1_weighted"] == pytest.approx((0.8 + 2 / 3) / 2)
    without = measure(cut, ranks=False, num_draws=0, confidence=0.9, seed=0)
    assert "auroc" not in without.overall | without.by_label
    assert without.by_label["f1"][0].value == pytest.approx(0.8)
