"""Loops, buffers and waits are read from compiled code."""

import pytest
from machine_code import Code, HotLoop, Loop, code, hot_loops


def listing(*texts: str) -> str:
    """As cuobjdump prints instructions."""
    return "\n".join(
        f"        /*{16 * place:04x}*/                   {text} ;   /* 0x0 */" for place, text in enumerate(texts)
    )


def test_loops_of_machine_code() -> None:
    inner = [*["IADD3 R1, R1, 1"] * 7, "HMMA.16816.F32.BF16 R4, R8, R2, R4", "@P0 BRA 0x30"]
    sass = listing(
        "MOV R1, R2",
        "LDG.E.128 R4, desc[UR4][R2.64]",
        "LDG.E R5, desc[UR4][R2.64]",
        *inner,
        "@P1 BRA `(.L_1) 0x20",
        "EXIT",
        "BRA 0xd0",
        "NOP",
    )
    assert code(sass) == Code(3, (Loop(2, 0, 1, 0), Loop(9, 1, 0, 1)))


def test_waiting_for_a_barrier_is_no_loop() -> None:
    assert code(listing("MOV R1, R2", "SYNCS.PHASECHK P0", "@!P0 BRA 0x10", "EXIT")) == Code(4, ())


LOOP = """
    %b_x_59 = ttg.local_alloc : () -> !ttg.memdesc<{buffers}x128x32xi16, #shared, #smem, mutable> loc(#1)
    %b_w_60 = ttg.local_alloc : () -> !ttg.memdesc<4x256x32xbf16, #shared1, #smem, mutable> loc(#2)
    %out = scf.for %i = %c0_i32 to %blocks step %c1_i32 iter_args(%x = %y) -> (tensor<64x4xi64, #linear>)  : i32 {{
      %b_out:11 = scf.for %j = %c0_i32 to %E step %c64_i32 iter_args(%z = %cst) -> (tensor<128x256xf32, #mma>)  : i32 {{
        %w = ttg.async_wait %b_x_225 {{num = {copies} : i32}} loc(#3)
        %b_out_1 = ttng.warp_group_dot %b_x_252, %b_out_254, %z {{isAsync = true}} : tensor<128x16xbf16> loc(#4)
        %b_out_2:2 = ttng.warp_group_dot_wait %b_out_1, %b_out_255 {{pendings = 1 : i32}} : tensor<128x256xf32> loc(#4)
        %b_x_9 = ttg.memdesc_index %b_x_59[%k] : !ttg.memdesc<3x128x32xi16> -> !ttg.memdesc<128x32xi16> loc(#5)
        %b_x_10 = ttg.async_copy_global_to_local %p, %b_x_9 mask %m : tensor<128x32x!tt.ptr<i16>> -> <128x32xi16, #s>
        {weight}
        scf.yield %b_out_2#0 : tensor<128x256xf32, #mma> loc(#6)
      }} loc(#7)
      scf.yield %x : tensor<64x4xi64, #linear> loc(#8)
    }} loc(#9)
    %end = ttg.async_wait {{num = 0 : i32}} loc(#10)
"""
COPIED = """%b_w_9 = ttg.memdesc_index %b_w_60[%k] : !ttg.memdesc<4x256x32xbf16> -> !ttg.memdesc<256x32xbf16> loc(#5)
        ttng.async_tma_copy_global_to_local %desc[%c, %k] %b_w_9, %bar : !desc -> !ttg.memdesc<256x32xbf16, #s>"""
LOADED = "%b_w_9 = tt.load %q, %m, %cst : tensor<256x32x!tt.ptr<bf16>, #blocked> loc(#5)"


def test_buffers_and_waits_of_the_loop_with_the_product() -> None:
    (loop,) = hot_loops(LOOP.format(buffers=3, copies=4, weight=COPIED))
    assert loop == HotLoop((("b_w", 4), ("b_x", 3)), (4,), (1,), 128 * 32 * 2 + 256 * 32 * 2)
    assert loop.is_pipelined
    assert not loop.waits_for_products


@pytest.mark.parametrize(("buffers", "copies", "weight"), [(1, 4, COPIED), (3, 0, COPIED), (3, 4, LOADED)])
def test_a_loop_that_is_not_pipelined(buffers: int, copies: int, weight: str) -> None:
    (loop,) = hot_loops(LOOP.format(buffers=buffers, copies=copies, weight=weight))
    assert not loop.is_pipelined


def test_a_loop_without_a_product_is_not_judged() -> None:
    assert hot_loops(LOOP.format(buffers=1, copies=0, weight=LOADED).replace("warp_group_dot", "other")) == []
