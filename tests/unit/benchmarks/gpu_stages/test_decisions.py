"""Decide by the rows of a day: variants, targets, levers of a step, attention, workers."""

from typing import Any

from gpu_stages.decisions import decisions
from gpu_stages.report import write_page

PROBLEM = "masked_patch_embed, int16 volume: forward"


def timed(implementation: str, ms: float, **more: Any) -> dict[str, Any]:
    times = {"ms": ms, "low_ms": ms, "high_ms": ms, "is_captured": True, "peak_mb": 1.0, "of_floor": 50 / ms}
    kinds = {"op": "masked_patch_embed", "direction": "forward", "is_default": False, "kernels": {}}
    named = {"stage": "ops", "name": f"{PROBLEM} | {implementation}", "implementation": implementation}
    return {**times, **kinds, **named, **more}


def answers(rows: list[dict[str, Any]]) -> dict[str, str]:
    return {question: answer for question, answer, _ in decisions(rows)}


def ours(default_ms: float, other_ms: float, again_ms: float = 100.0) -> list[dict[str, Any]]:
    return [
        timed("simcrop (Triton), embed=auto", default_ms, is_default=True),
        timed("simcrop (Triton), embed=fused", other_ms),
        timed("simcrop (Triton)", 100.0),
        timed("simcrop (Triton), again", again_ms),
        timed("gather kernel, linear", 120.0),
    ]


def test_the_fastest_variant_is_chosen() -> None:
    assert answers(ours(100, 80))[f"Which variant for {PROBLEM}?"] == "embed=fused"


def test_a_variant_that_computes_something_else_is_not_chosen() -> None:
    third = timed("simcrop (Triton), embed=gather", 90.0)
    wrong = {"stage": "check", "name": "masked_patch_embed, int16 volume, bfloat16 | embed=fused", "error": "off"}
    assert answers([*ours(100, 80), third, wrong])[f"Which variant for {PROBLEM}?"] == "embed=gather"


def test_a_default_that_computes_something_else_is_given_up_for_a_slower_one() -> None:
    wrong = {"stage": "check", "name": "masked_patch_embed, int16 volume, bfloat16 | embed=auto", "error": "off"}
    assert answers([*ours(80, 100), wrong])[f"Which variant for {PROBLEM}?"] == "embed=fused"


def test_a_row_measured_again_is_no_variant_though_its_problem_has_sizes() -> None:
    problem = "sentence_volume_scores, 32 x 32, N=686, k=4"
    kinds = {"op": "sentence_volume_scores", "is_default": False}
    choices, again = ("scores=chunked", "scores=fused"), "simcrop (Triton), again"
    rows = [timed(again, 0.182, name=f"{problem}: forward | {again}", **kinds)]
    for choice, ms in zip(choices, (0.183, 0.223), strict=True):
        more = {**kinds, "name": f"{problem}: forward | simcrop (Triton), {choice}", "is_default": "chunked" in choice}
        rows.append(timed(f"simcrop (Triton), {choice}", ms, **more))
        rows.append({"stage": "check", "name": f"{problem}, with hubs, float16 | {choice}", "error": "off"})
    assert f"Which variant for {problem}: forward?" not in answers(rows)


def test_a_difference_that_chance_explains_changes_nothing() -> None:
    assert answers(ours(100, 95, again_ms=107))[f"Which variant for {PROBLEM}?"] == "embed=auto (no difference)"


def test_a_default_that_is_fastest_is_told_with_the_next() -> None:
    (told,) = [each for each in decisions(ours(80, 100)) if each[0] == f"Which variant for {PROBLEM}?"]
    assert told[1:] == ("embed=auto", "80.000 ms against 100.000 ms of embed=fused")


def test_a_problem_may_have_a_target_of_its_own() -> None:
    problem, kinds = "sentence_patch_topk, N=2744, S=80, k=32: forward", {"op": "sentence_patch_topk"}
    rows = [timed(who, 100, name=f"{problem} | {who}", **kinds) for who in ("simcrop (Triton)", "bmm")]
    assert answers([{**row, "of_floor": 0.31} for row in rows])[f"Is {problem} fast enough?"] == "yes"
    assert answers([{**row, "of_floor": 0.29} for row in rows])[f"Is {problem} fast enough?"] == "no"


def test_targets_are_those_of_baselines_and_of_the_floor() -> None:
    question = f"Is {PROBLEM} fast enough?"
    assert answers(ours(100, 80))[question] == "yes"  # 62 % of the floor, of 55 % that are asked for
    assert answers(ours(100, 95))[question] == "no"
    assert answers(ours(130, 130)[:2] + ours(130, 130)[4:])[question] == "no"


def test_a_wrong_kernel_is_the_first_thing_said() -> None:
    rows = [{"stage": "check", "name": "embed", "error": "off"}, {"stage": "check", "name": "mse"}]
    assert decisions(rows)[0][:2] == ("Do all kernels compute what they promise?", "no: 1 of 2 comparisons failed")


def test_the_page_names_the_gpu_its_ceilings_and_what_failed() -> None:
    machine = {"stage": "ceilings", "name": "machine", "gpu": "NVIDIA H100 80GB HBM3", "hardware": "NVIDIA H100, torch"}
    limits = {"stage": "ceilings", "name": "copy and product", "tflops": 798.0, "tb_per_s": 3.0}
    kernel = {"kernels": {"embed_kernel": {"registers": 255, "spills": 0, "waits": [1, 2]}}}
    failed = {"stage": "ops", "name": "bad | one", "error": "RuntimeError: out\nof memory"}
    rows = [machine, limits, *ours(100, 80), timed("launched", 300.0, is_captured=False, **kernel), failed]
    name, page = write_page(rows, rehearsed=False)
    assert name == "NVIDIA-H100-80GB-HBM3.md"
    assert "798 TFLOP/s" in page
    assert "3.00 TB/s" in page
    assert "| launched * | 300.000 | 300.000 - 300.000 | 17% | 1 | embed_kernel 255/0/[1, 2] |" in page
    assert "| ops: bad / one | RuntimeError: out |" in page
    assert "rehearsal" not in page


def test_the_page_tells_what_the_gate_refused_once_an_implementation() -> None:
    wrong = "AssertionError: topk, bmm: not timed, it is wrong in aligned: off by 0.2"
    names = [f"topk, N={size}: {way} | bmm" for size in (1, 2) for way in ("forward", "forward and backward")]
    rows = [{"stage": "ops", "name": name, "error": wrong} for name in names]
    _, page = write_page(rows, rehearsed=False)
    assert "## Not timed, for a wrong result" in page
    assert page.count("| bmm | 2 | aligned: off by 0.2 |") == 1
    assert "## Failed" not in page


def test_the_page_has_the_time_of_each_kernel() -> None:
    kernels = {"embed_kernel": {"registers": 255, "spills": 0, "waits": []}}
    ours = timed("simcrop (Triton)", 1.0, kernels=kernels, kernel_us={"_embed_kernel": 9.96, "fill": 1.0})
    _, page = write_page([ours, timed("linear", 2.0, kernel_us={"gemm": 20.0})], rehearsed=False)
    assert "| embed_kernel 10.0 255/0/[], fill 1.0 |" in page
    assert "| gemm 20.0 |" in page


def test_the_page_has_the_longest_kernels_of_each_step() -> None:
    more = {"stage": "step", "of_ceiling": 0.3, "peak_gb": 1.0, "launches": 9, "idle_share": 0.1, "categories": {}}
    times = {"ms": 9.0, "low_ms": 9.0, "high_ms": 9.0, "studies_per_s": 1.0}
    rows = [
        {**more, **times, "name": "eager", "longest": {"gemm" * 25: 3.0, "copy": 1.0}},
        {**more, **times, "name": "compiled", "longest": {"gemm" * 25: 2.0}},
    ]
    _, page = write_page(rows, rehearsed=False)
    assert f"| {'gemm' * 15} | 3.0 | 2.0 |" in page
    assert "| copy | 1.0 | - |" in page


def test_no_name_breaks_the_table_of_decisions() -> None:
    _, page = write_page([{"stage": "check", "name": "embed | keep", "error": "off"}], rehearsed=False)
    assert "| no: 1 of 1 comparisons failed | embed / keep |" in page


def test_the_loader_is_held_to_the_fastest_step() -> None:
    step = {"stage": "step", "name": "eager", "ms": 100.0, "studies_per_s": 320.0}
    loader = {"stage": "loader", "name": "8 workers", "studies_per_s": 250.0}
    assert answers([step, loader])["Does the loader keep up with the step?"] == "no"
