"""Problems: the work that they are said to be, and inputs that fit it."""

import pytest
import torch
from problems import CPU, GPU, REHEARSAL, one_of_each, problems


@pytest.mark.parametrize("problem", problems(REHEARSAL), ids=lambda problem: problem.name)
def test_work_is_at_least_what_the_inputs_and_results_hold(problem) -> None:
    call = problem.make("cpu")
    weights = sum(value.nbytes for name, value in call.tensors.items() if name in ("weight", "patches", "pred"))
    assert problem.bytes >= weights
    assert (problem.flops > 0) == (problem.op != "masked_patch_mse")


def test_a_vit_b_is_what_the_targets_were_computed_for() -> None:
    by_name = {problem.name: problem for problem in problems(GPU)}
    embed = by_name["masked_patch_embed, int16 volume"]
    assert embed.flops == pytest.approx(69.1e9, rel=0.001)
    assert by_name["sentence_volume_scores, 64 x 64, N=2744, k=32"].flops == pytest.approx(552e9, rel=0.01)
    assert by_name["masked_patch_mse, int16 volume"].backward * by_name["masked_patch_mse, int16 volume"].bytes == (
        pytest.approx(810e6, rel=0.01)
    )
    assert by_name["masked_patch_embed, int16 volume, 5 windows"].flops == 5 * embed.flops
    assert "sentence_patch_topk, N=21952, S=32, k=64" in by_name
    assert all("21952" not in problem.name for problem in problems(CPU))


def test_one_of_each_operation_is_the_first() -> None:
    chosen = one_of_each(problems(REHEARSAL))
    assert len({problem.op for problem in chosen}) == len(chosen) == 5
    assert chosen[0].name == problems(REHEARSAL)[0].name


def test_a_hub_is_chosen_by_nearly_every_sentence() -> None:
    by_name = {problem.name: problem for problem in problems(GPU)}
    hubs = by_name["sentence_volume_scores, 32 x 32, N=686, k=4, with hubs"].make("cpu")
    sentences, patches = hubs.tensors["sentences"], hubs.tensors["patches"]
    assert sentences is not None
    assert patches is not None
    units = torch.nn.functional.normalize(patches[:4].float(), dim=2)
    best = torch.einsum("bse,vne->bsvn", sentences[:4].float(), units).argmax(3)
    assert (best == 0).float().mean() > 0.99


def test_ids_are_visible_once_and_sorted() -> None:
    ids = problems(CPU)[0].make("cpu").tensors["ids_keep"]
    assert ids is not None
    assert torch.equal(ids, ids.sort(1).values)
    assert all(len(set(row.tolist())) == 686 for row in ids)
