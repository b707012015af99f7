"""One pass of a batch: reports are read in groups of similar length, and nothing is computed that is not asked for."""

from dataclasses import replace

import pytest
import torch
from support.small_models import OBJECTIVES, make_batch, make_model, only, to_double

from simcrop.core.data.batch import Batch, MaskedReport, of_similar_length
from simcrop.core.objectives.losses import Counts
from simcrop.core.ports import SingleProcess


def test_reports_of_any_length_are_predicted_as_by_themselves() -> None:
    counts = [3, 0, 1, 2, 5, 1, 4, 2, 3, 1, 2]
    model, batch = make_model(only("report"), double=True).eval(), to_double(make_batch(counts))
    report = batch.inputs.report
    step = model.begin(batch, Counts.of([batch], model.objectives), SingleProcess())
    every = step.predicted_tokens(torch.arange(report.mask.numel())).unflatten(0, report.mask.shape)
    for study, length in enumerate(report.mask.sum(1).tolist()):
        own = [
            values[study : study + 1, :length] for values in (report.ids, report.input_ids, report.mask, report.masked)
        ]
        kept = batch.inputs.ids_keep[study : study + 1]
        alone = Batch(
            batch.volume[study : study + 1], replace(batch.inputs, ids_keep=kept, report=MaskedReport.of(*own))
        )
        found = model.begin(alone, Counts.of([batch], model.objectives), SingleProcess())
        torch.testing.assert_close(every[study, :length], found.predicted_tokens(torch.arange(length)))


@pytest.mark.parametrize(("term", "passes"), [("reconstruction", 1), ("report", 1), ("alignment", 1)])
def test_the_encoder_runs_once(term: str, passes: int) -> None:
    model, batch = make_model(only(term)), make_batch([2, 1])
    calls: list[object] = []
    model.encoder.register_forward_hook(lambda *_: calls.append(None))
    step = model.begin(batch, Counts.of([batch], model.objectives), SingleProcess())
    assert not calls
    model.terms(step, Counts.of([batch], model.objectives))
    model.terms(step, Counts.of([batch], model.objectives))
    assert len(calls) == passes


def test_words_read_what_sentences_selected_where_the_recipe_says_so() -> None:
    counts = [3, 0, 1, 2, 5, 1, 4, 2, 3, 1, 2]
    with_key = replace(OBJECTIVES, report=replace(OBJECTIVES.report, aligned_key=0.2))
    batch = to_double(make_batch(counts))
    read = {}
    for name, objectives in (("off", OBJECTIVES), ("on", with_key)):
        model = make_model(objectives, double=True).eval()
        step = model.begin(batch, Counts.of([batch], objectives), SingleProcess())
        read[name] = step.predicted_tokens(batch.inputs.report.places)
        (gradient,) = torch.autograd.grad(read[name].sum(), model.image_head.out.weight, allow_unused=True)
        assert (gradient is None) == (name == "off")
    assert not torch.allclose(read["off"], read["on"])
    # The mean goes over all rows of sentences, padding included, as one key before the patches.
    assert model.fusion is not None
    seen: list[torch.Tensor] = []
    model.fusion.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[3]))
    step = model.begin(batch, Counts.of([batch], with_key), SingleProcess())
    step.predicted_tokens(batch.inputs.report.places)
    aligned = torch.cat([step.aligned()[rows] for rows in of_similar_length(batch.inputs.report.lengths, 8)])
    torch.testing.assert_close(torch.cat(seen), 0.2 * aligned.mean(1, keepdim=True))
