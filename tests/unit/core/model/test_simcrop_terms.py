"""SimCroP: what each term of the loss is, and how micro-batches and ranks share it."""

from dataclasses import replace

import pytest
import torch
from support.small_models import (
    FROZEN,
    MODEL,
    OBJECTIVES,
    TRAINED,
    VOCABULARY,
    ThreadRank,
    make_batch,
    make_model,
    on_ranks,
    only,
    terms_of,
    to_double,
    with_inputs,
)
from torch import Tensor

from simcrop.core.model.patches import apply_window, patchify
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.objectives.losses import Counts
from simcrop.core.ports import SingleProcess, summed
from simcrop.core.recipe import TERMS, AlignmentRecipe, ObjectivesRecipe, ReconstructionRecipe, ReportRecipe

PAPER_OBJECTIVES = ObjectivesRecipe(
    ReconstructionRecipe(target="raw", loss="all"),
    ReportRecipe(mask="any", loss="all"),
    AlignmentRecipe(top_k=3, padding_negatives=True, mask_duplicates=False),
    replace(OBJECTIVES.late_interaction, weight=0.0),
)


def gradients(model: SimCroP) -> dict[str, Tensor | None]:
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def test_reconstruction_is_the_mean_square_of_what_reconstruct_predicts() -> None:
    batch = to_double(make_batch([1, 1]))
    for objectives, ratio in ((only("reconstruction"), 1.0), (only("reconstruction", PAPER_OBJECTIVES), 22 / 30)):
        model = make_model(objectives, double=True)
        predicted = model.reconstruct(batch.volume, batch.inputs.ids_keep, batch.inputs.ids_masked)
        patches = patchify(apply_window(batch.volume, MODEL.window, torch.float64), MODEL.patch_size)
        target = torch.stack([rows[ids] for rows, ids in zip(patches, batch.inputs.ids_masked, strict=True)])
        if objectives.reconstruction.target == "patch_norm":
            target = (target - target.mean(2, keepdim=True)) / (target.var(2, keepdim=True) + 1e-6).sqrt()
        expected = (predicted - target).square().mean() * ratio
        torch.testing.assert_close(terms_of(model, batch)["reconstruction"], expected)


@pytest.mark.parametrize("objectives", [OBJECTIVES, PAPER_OBJECTIVES], ids=["improved", "paper"])
def test_alignment_compares_sentences_with_the_best_visible_patches(objectives: ObjectivesRecipe) -> None:
    model, batch = make_model(only("alignment", objectives), double=True), to_double(make_batch([3, 2]))
    keep = batch.inputs.ids_keep
    patches = model.contextual_features(model.encoder(batch.volume, keep), batch.volume, keep)
    sentences = model.sentence_features(batch.inputs.findings, 3)
    losses = []
    for features, places, num in zip(sentences, patches, (3, 2), strict=True):
        rows = 3 if objectives.alignment.padding_negatives else num
        aligned = []
        for sentence in features[:rows]:
            scores = torch.nn.functional.cosine_similarity(sentence[None], places, dim=1)
            # A padding sentence is zero: every score is 0, so the patches of lowest index are taken.
            aligned.append(places[scores.sort(descending=True, stable=True).indices[:3]].mean(0))
        a, s = (torch.nn.functional.normalize(x, dim=1) for x in (torch.stack(aligned), features[:rows]))
        logits = s @ a.T / 0.07
        for table in (logits, logits.T):
            losses.append((table.logsumexp(1) - table.diagonal())[:num].sum())
    torch.testing.assert_close(terms_of(model, batch)["alignment"], torch.stack(losses).sum() / 5)


def test_the_report_is_rebuilt_from_its_masked_words_and_the_visible_patches() -> None:
    model, batch = make_model(only("report"), double=True), to_double(make_batch([2, 1]))
    parts = model.text_encoder, model.report_head, model.fusion, model.text_decoder
    text_encoder, head, fusion, decoder = (part for part in parts if part is not None)
    patches = model.encoder(batch.volume, batch.inputs.ids_keep)[:, 1:]  # the class token is not among them
    report = batch.inputs.report
    words = fusion(head(text_encoder(report.input_ids, report.mask)), report.mask, patches)
    logits = decoder(words, report.mask, report.places)
    expected = torch.nn.functional.cross_entropy(logits, report.ids[report.masked])
    torch.testing.assert_close(terms_of(model, batch)["report"], expected)


def test_the_report_is_read_masked_and_answered_with_what_was_there() -> None:
    model, batch = make_model(only("report"), double=True), to_double(make_batch([2, 1]))
    before = terms_of(model, batch)["report"].item()
    report = batch.inputs.report
    hidden = with_inputs(batch, report=replace(report, ids=report.ids.masked_fill(report.masked, 7)))
    assert terms_of(model, hidden)["report"].item() != before  # the target changed
    shown = with_inputs(batch, report=replace(report, ids=report.ids.masked_fill(~report.masked, 7)))
    assert terms_of(model, shown)["report"].item() == before  # what is not masked is no target
    assert before == pytest.approx(torch.log(torch.tensor(VOCABULARY)).item(), rel=0.3)


@pytest.mark.parametrize("objectives", [OBJECTIVES, PAPER_OBJECTIVES], ids=["improved", "paper"])
def test_micro_batches_share_what_negatives_of_a_report_leave_apart(objectives: ObjectivesRecipe) -> None:
    whole = to_double(make_batch([2, 1, 0, 3]))
    parts = [to_double(make_batch([2], room=3)), to_double(make_batch([1, 0, 3], first=1))]
    model, counts = make_model(objectives, double=True), Counts.of(parts, objectives)
    assert counts == Counts.of([whole], objectives)
    shares = [model(part, counts, SingleProcess()) for part in parts]
    expected = model(whole, counts, SingleProcess())
    for name in expected.keys() - {"late_interaction"}:
        torch.testing.assert_close(shares[0][name] + shares[1][name], expected[name])


@pytest.mark.parametrize("negatives", ["report", "global"])
def test_two_ranks_have_the_losses_and_gradients_of_one_process(negatives: str) -> None:
    objectives = replace(OBJECTIVES, alignment=AlignmentRecipe(top_k=3, negatives=negatives))  # type: ignore[arg-type]
    whole = to_double(make_batch([1, 2, 4, 0]))

    def share(rank: ThreadRank) -> tuple[SimCroP, Tensor]:
        batch = to_double(make_batch([1, 2], first=0) if rank.rank == 0 else make_batch([4, 0], first=2))
        model = models[rank.rank]
        counts = Counts.of_row(summed(rank, Counts.of([batch], objectives).row(rank)))
        return model, model.total(model(batch, counts, rank))

    models = [make_model(objectives, text=TRAINED, double=True).eval() for _ in range(2)]
    alone = make_model(objectives, text=TRAINED, double=True).eval()
    (first, loss_0), (second, loss_1) = on_ranks(2, share)
    expected = alone.total(terms_of(alone, whole))
    torch.testing.assert_close((loss_0 + loss_1) / 2, expected)
    expected.backward()
    ((loss_0 + loss_1) / 2).backward()
    halves = zip(gradients(first).values(), gradients(second).values(), strict=True)
    for (name, gradient), (part_0, part_1) in zip(gradients(alone).items(), halves, strict=True):
        assert gradient is not None, name
        assert part_0 is not None, name
        assert part_1 is not None, name
        torch.testing.assert_close(part_0 + part_1, gradient, msg=name)


def test_a_frozen_encoder_tells_paraphrases_and_a_trained_one_does_not() -> None:
    batch = make_batch([1, 1])
    findings = batch.inputs.findings
    same_words = with_inputs(batch, findings=replace(findings, ids=findings.ids[:1].repeat(2, 1)))
    losses = {
        name: terms_of(make_model(only("late_interaction"), text=text).eval(), same_words)["late_interaction"]
        for name, text in (("frozen", FROZEN), ("trained", TRAINED))
    }
    equal_keys = with_inputs(same_words, sentence_keys=batch.inputs.sentence_keys[:1].repeat(2, 1))
    expected = terms_of(make_model(only("late_interaction"), text=TRAINED).eval(), equal_keys)["late_interaction"]
    torch.testing.assert_close(losses["frozen"], expected)
    assert not torch.allclose(losses["trained"], expected)


def test_findings_read_before_give_the_same_losses_and_are_not_read_again() -> None:
    model, batch = make_model(OBJECTIVES, text=FROZEN).eval(), make_batch([2, 1])
    expected, findings = terms_of(model, batch), batch.inputs.findings
    assert model.text_encoder is not None
    with torch.no_grad():
        known = model.text_encoder(findings.ids, findings.mask, findings.sentence_of_token)
    unread = replace(findings, ids=torch.full_like(findings.ids, -1))
    unreadable = with_inputs(batch, findings=unread, findings_features=known)
    found = terms_of(model, unreadable)
    assert {name: term.item() for name, term in found.items()} == {name: term.item() for name, term in expected.items()}


@pytest.mark.parametrize("objectives", [OBJECTIVES, PAPER_OBJECTIVES], ids=["improved", "paper"])
@pytest.mark.parametrize("room", [0, 2])
def test_no_report_has_a_sentence(objectives: ObjectivesRecipe, room: int) -> None:
    model = make_model(objectives, text=TRAINED)
    terms = terms_of(model, make_batch([0, 0], room=room))
    assert terms["reconstruction"] > 0
    matching = terms.keys() & {"alignment", "late_interaction"}
    assert {name: terms[name].item() for name in matching} == dict.fromkeys(matching, 0.0)
    assert (terms["report"].item() == 0.0) == (objectives.report.loss == "masked")
    model.total(terms).backward()
    for name, gradient in gradients(model).items():
        assert gradient is not None, name
        assert gradient.isfinite().all(), name


@pytest.mark.parametrize("objectives", [OBJECTIVES, PAPER_OBJECTIVES], ids=["improved", "paper"])
@pytest.mark.parametrize("counts", [[0, 3], [1, 0], [1]])
def test_a_report_without_sentences_or_with_one_only(objectives: ObjectivesRecipe, counts: list[int]) -> None:
    model = make_model(objectives, text=TRAINED)
    terms = terms_of(model, make_batch(counts))
    assert all(value.isfinite() for value in terms.values())
    if sum(counts) == 1:
        assert terms["alignment"].item() == pytest.approx(0.0, abs=1e-5)
    model.total(terms).backward()
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients(model).values())


@pytest.mark.parametrize(
    ("term", "objectives"),
    [(term, OBJECTIVES) for term in TERMS] + [(term, PAPER_OBJECTIVES) for term in TERMS[:3]],
)
def test_each_objective_passes_gradcheck(term: str, objectives: ObjectivesRecipe) -> None:
    model, batch = make_model(only(term, objectives), double=True), to_double(make_batch([2, 1]))
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    start = [model.get_parameter(name).detach().clone() for name in names]
    directions = [torch.randn(x.shape, generator=torch.Generator().manual_seed(8), dtype=x.dtype) for x in start]

    def along(steps: Tensor) -> Tensor:
        """The loss at a point moved along one random direction in every parameter."""
        moved = {
            name: x + step * direction for name, x, direction, step in zip(names, start, directions, steps, strict=True)
        }
        arguments = (batch, Counts.of([batch], model.objectives), SingleProcess())
        return torch.func.functional_call(model, moved, arguments)[term]

    # Steps small enough that no sentence changes its choice of patches.
    assert torch.autograd.gradcheck(along, (torch.zeros(len(names), dtype=torch.float64, requires_grad=True),))


def test_under_autocast_the_losses_are_fp32_and_close() -> None:
    model, batch = make_model(), make_batch([3, 2])
    expected = terms_of(model, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = terms_of(model, batch)
        model.total(terms).backward()
    for name, value in terms.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, expected[name], rtol=0.1, atol=0.1)


@pytest.mark.parametrize("negatives", ["report", "batch"])
def test_losses_and_gradients_do_not_depend_on_padding(negatives: str) -> None:
    objectives = replace(OBJECTIVES, alignment=AlignmentRecipe(top_k=3, negatives=negatives))  # type: ignore[arg-type]
    found = []
    for room in (3, 16):
        model = make_model(objectives, double=True).eval()
        terms = terms_of(model, to_double(make_batch([3, 0, 2], room=room)))
        torch.stack(list(terms.values())).sum().backward()
        gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        found.append((terms, gradients))
    torch.testing.assert_close(found[1], found[0])
