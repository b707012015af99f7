"""Illegal accesses and races are looked for where they can be seen; defaults are compared first."""

from pathlib import Path

import pytest
from gpu_stages.check import in_order, sanitized
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
