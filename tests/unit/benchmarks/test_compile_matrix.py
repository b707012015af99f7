"""Every kernel compiles for every GPU generation, without spilling registers, within its shared memory, pipelined.

In processes of their own: here kernels are defined for Triton's interpreter.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import REPOSITORY

PROGRAM = REPOSITORY / "benchmarks" / "compile_matrix.py"
KERNELS = {
    "first_voxel_kernel",
    "gather_patches_kernel",
    "finish_kernel",
    "cast_and_sum_kernel",
    "masked_patch_embed_fwd_kernel",
    "masked_patch_mse_kernel",
    "inverse_norm_kernel",
    "sentence_patch_topk_product_kernel",
    "sentence_patch_topk_choice_kernel",
    "sentence_volume_scores_choice_kernel",
    "soft_volume_scores_kernel",
    "soft_volume_scores_bwd_kernel",
    "sorted_blocks_kernel",
    "keys_kernel",
    "begin_kernel",
    "cosines_bwd_chunks_kernel",
    "cosines_bwd_hubs_kernel",
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


def test_every_kernel_is_clean(tmp_path: Path) -> None:
    rows = compiled(tmp_path)
    for arch in (80, 89, 90, 100, 120):
        expected = KERNELS | {"patch_product_kernel"} if arch in (90, 100) else KERNELS
        assert {row["kernel"] for row in rows if row["arch"] == arch} == expected
    assert all(row["spilled_bytes"] == 0 for row in rows)
    for row in rows:
        if row["kernel"] in ("masked_patch_embed_fwd_kernel", "patch_product_kernel"):
            unit = {90: "HGMMA", 100: "UTCHMMA"}.get(row["arch"], "HMMA")
            assert unit in row["tensor_instructions"], row
            assert row["loads_128_bit"] > 0, row
            assert "b_x" in row["buffers"], row
        if row["kernel"] == "masked_patch_embed_fwd_kernel":
            assert row["copy_waits"] != "-", row
        if row["kernel"] == "gather_patches_kernel":
            assert row["loads_128_bit"] > 0, f"voxel by voxel: {row}"


@pytest.mark.slow
def test_every_dtype_is_clean(tmp_path: Path) -> None:
    rows = compiled(tmp_path, "--all", "--workers", str(os.cpu_count()))
    assert len(rows) > 700


def test_a_kernel_that_spills_fails(tmp_path: Path) -> None:
    """The check can fail: 24 registers are too few."""
    row = rows_with(tmp_path, {"maxnreg": 24}, "--arch", "80", "--only", "mse")[-1]
    assert row["spilled_bytes"] > 0


def test_a_loop_that_is_not_pipelined_fails(tmp_path: Path) -> None:
    """The check can fail: the chain from voxels to product needs three stages for two buffers."""
    rows = rows_with(tmp_path, {"num_stages": 2}, "--arch", "90", "--only", "embed")
    (row,) = [row for row in rows if row["kernel"] == "masked_patch_embed_fwd_kernel"]
    assert not row["pipelined"]
    assert row["buffers"] == "b_w 2, b_x 1"
    assert row["copy_waits"] == "0"


def rows_with(folder: Path, options: dict[str, int], *arguments: str) -> list[dict]:
    """The rows of a matrix that compiles with other options, and has found something unclean."""
    text = (PROGRAM.parent / "compiling.py").read_text()
    before = "options=dict(given.options)"
    assert before in text
    (folder / "compiling.py").write_text(text.replace(before, f"options={{**dict(given.options), **{options}}}"))
    program, out = folder / PROGRAM.name, folder / "rows.json"
    shutil.copy(PROGRAM, program)
    paths = [str(PROGRAM.parent), os.environ.get("PYTHONPATH", "")]
    command = [sys.executable, "-W", "ignore", str(program), "--workers", "1", "--json", str(out), *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1, done.stderr[-3000:]
    assert "| False |" in done.stdout
    return json.loads(out.read_text())
