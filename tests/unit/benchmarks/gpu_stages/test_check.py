"""Illegal accesses and races are looked for where they can be seen; defaults are compared first."""

from pathlib import Path

import pytest
from gpu_stages.check import in_order, our_kernels, races_of_others, sanitized
from kernel_variants import variants_of
from problems import REHEARSAL, problems


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    """Stands for the sanitizer: it says whether torch is to hand out parts of larger pieces of memory."""
    path = tmp_path / "tool"
    lines = ("#!/bin/sh", 'echo "$2, no caching: $PYTORCH_NO_CUDA_MEMORY_CACHING"', "sleep ${LASTS:-0}", "exit $STATUS")
    path.write_text("\n".join(lines), encoding="utf-8")
    path.chmod(0o755)
    return path


def test_every_tensor_is_a_piece_of_memory_of_its_own(tool: Path) -> None:
    assert sanitized(str(tool)) == {"says": "memcheck, no caching: 1"}
    assert sanitized(str(tool), "racecheck") == {"says": "racecheck, no caching: 1"}


def test_an_illegal_access_is_a_failure(tool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATUS", "1")
    with pytest.raises(AssertionError, match="no caching: 1"):
        sanitized(str(tool))


RACE = """\
========= Error: Race reported between Read access at {0}+0xb00
=========     and Write access at {1}+0x2770 [128 hazards]
=========
"""
CUBLAS = "nvjet_sm90_tss_8x64_64x16_4x1_v_bz_TNN"


def output(*reports: str) -> str:
    last = f"========= RACECHECK SUMMARY: {len(reports)} hazards displayed ({len(reports)} errors, 0 warnings)\n"
    return "".join(["========= COMPUTE-SANITIZER\n", "what a call prints\n", *reports, last])


def test_races_within_the_kernels_of_others_are_a_note() -> None:
    of_torch = "void at::native::reduce_kernel<(int)512, at::native::func<float>>(T3)"
    found = races_of_others(output(RACE.format(CUBLAS, CUBLAS), RACE.format(of_torch, of_torch)))
    assert found == f"races in kernels that are not ours: 2, the first in {CUBLAS}"


@pytest.mark.parametrize(
    "report",
    [
        RACE.format(CUBLAS, "_keys_kernel"),
        RACE.format("/somewhere/winners.py:64:_keys_kernel", "/somewhere/winners.py:70:_keys_kernel"),
        RACE.replace("{1}+0x2770", "0x2770").format(CUBLAS),
        f"========= Invalid __global__ read of size 4 bytes\n=========     at {CUBLAS}+0x120\n=========\n",
        "========= Internal Sanitizer Error: The application has been terminated\n=========\n",
        "========= Program hit cudaErrorInvalidValue (error 1) on CUDA API call to cudaMalloc.\n=========\n",
    ],
)
def test_all_else_that_is_reported_is_a_failure(report: str) -> None:
    with pytest.raises(AssertionError):
        races_of_others(output(RACE.format(CUBLAS, CUBLAS), report))


@pytest.mark.parametrize("number", [0, 100])
def test_reports_that_may_be_missing_are_a_failure(number: int) -> None:
    with pytest.raises(AssertionError, match=f"{number} reports"):
        races_of_others(output(*[RACE.format(CUBLAS, CUBLAS)] * number))


def test_our_kernels_are_known_by_name() -> None:
    assert {"_gather_patches_kernel", "_sentence_patch_topk_choice_kernel", "_keys_kernel"} <= our_kernels()


def test_a_note_stands_beside_what_the_sanitizer_says(tmp_path: Path) -> None:
    path = tmp_path / "tool"
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{output(RACE.format(CUBLAS, CUBLAS))}END\nexit 99\n", encoding="utf-8")
    path.chmod(0o755)
    found = sanitized(str(path), "racecheck")
    assert found["says"].startswith("========= RACECHECK SUMMARY: 1 hazard")
    assert found["note"].endswith(CUBLAS)


def test_a_search_that_takes_too_long_found_nothing(tool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASTS", "30")
    assert sanitized(str(tool), seconds=1) == {"skipped": "not done after 1 s"}


def test_defaults_are_compared_before_other_variants() -> None:
    found = problems(REHEARSAL)
    cases = [(problem.name, choices == variants_of(problem.op)[0]) for problem, choices in in_order(found)]
    assert cases[: len(found)] == [(problem.name, True) for problem in found]
    assert not any(is_default for _, is_default in cases[len(found) :])
    assert len(cases) == sum(len(variants_of(problem.op)) for problem in found)


def test_the_program_that_is_watched_runs(tmp_path: Path) -> None:
    path = tmp_path / "tool"
    path.write_text('#!/bin/sh\nshift 4\n"$@" && echo done\n', encoding="utf-8")
    path.chmod(0o755)
    assert sanitized(str(path)) == {"says": "done"}
