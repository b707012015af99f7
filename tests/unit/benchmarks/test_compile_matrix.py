"""Every kernel compiles for every GPU generation, without spilling registers and within its shared memory.

In processes of their own: here kernels are defined for Triton's interpreter.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import REPOSITORY

PROGRAM = REPOSITORY / "benchmarks" / "compile_matrix.py"
KERNELS = {
    "first_voxel_kernel",
    "masked_patch_embed_fwd_kernel",
    "masked_patch_embed_bwd_weight_kernel",
    "masked_patch_mse_kernel",
    "inverse_norm_kernel",
    "sentence_patch_topk_product_kernel",
    "sentence_patch_topk_choice_kernel",
    "sentence_volume_scores_choice_kernel",
    "sentence_volume_scores_fwd_kernel",
    "keys_kernel",
    "begin_kernel",
    "cosines_bwd_chunks_kernel",
    "cosines_bwd_sentences_kernel",
    "cosines_bwd_patches_kernel",
}


def compiled(folder: Path, *options: str) -> list[dict]:
    """The rows of the matrix; the program has judged them."""
    out = folder / "rows.json"
    command = [sys.executable, "-W", "ignore", str(PROGRAM), "--workers", "1", "--json", str(out), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads(out.read_text())


@pytest.mark.parametrize("arch", ["80", "89", "90", "100", "120"])
def test_every_kernel_is_clean(arch: str, tmp_path: Path) -> None:
    rows = compiled(tmp_path, "--arch", arch)
    assert {row["kernel"] for row in rows} == KERNELS
    assert all(row["spilled_bytes"] == 0 for row in rows)
    for row in rows:
        if row["kernel"].startswith("masked_patch_embed"):
            unit = {"90": "HGMMA", "100": "UTCHMMA"}.get(arch, "HMMA")
            assert unit in row["tensor_instructions"], row
            assert row["loads_128_bit"] > 0, row


@pytest.mark.slow
def test_every_dtype_is_clean(tmp_path: Path) -> None:
    rows = compiled(tmp_path, "--all")
    assert len(rows) > 700


def test_a_kernel_that_spills_fails(tmp_path: Path) -> None:
    """The check can fail: 24 registers are too few."""
    text = PROGRAM.read_text()
    before = "    signature, constants, attributes = {}, {}, {}\n"
    assert before in text
    program = tmp_path / "narrow.py"
    program.write_text(text.replace(before, f'    options["maxnreg"] = 24\n{before}'))
    command = [sys.executable, "-W", "ignore", str(program), "--workers", "1", "--arch", "80", "--only", "mse"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr[-3000:]
    assert "| False |" in done.stdout
