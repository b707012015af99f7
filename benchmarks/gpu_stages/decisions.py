"""Answer from the rows of a day what was left open: which variant is the default, and what a run should set."""

from collections.abc import Iterator, Mapping

from gpu_stages.day import Row

Decision = tuple[str, str, str]
"""Question, answer, reason."""
AGAIN = ", again"
OURS = "simcrop (Triton)"
CHANCE = 0.02
"""Differences below it decide nothing, where two rows of the same differ by less."""
TARGETS: Mapping[str, float] = {
    "masked_patch_embed: forward": 0.55,
    "masked_patch_embed: forward and backward": 0.5,
    "sentence_patch_topk: forward": 0.45,
    "sentence_patch_topk, N=2744, S=80, k=32: forward": 0.3,
    "sentence_volume_scores: forward": 0.3,
    "sentence_volume_scores: forward and backward": 0.3,
    "masked_patch_mse: forward and backward": 0.7,
}
"""Shares of the floor that are asked for, of a problem or of an operation."""


def decisions(rows: list[Row]) -> list[Decision]:
    """Everything that the rows settle."""
    good = [row for row in rows if "error" not in row]
    found = [
        *_correctness(rows),
        *_variants(good, refused(rows)),
        *_targets(good),
        *_step(good),
        *_attention(good),
        *_loader(good),
    ]
    return found or [("any", "none yet", "no row is there")]


def _correctness(rows: list[Row]) -> Iterator[Decision]:
    checked = [row for row in rows if row["stage"] == "check"]
    wrong = [row["name"] for row in checked if "error" in row]
    if checked:
        answer = f"no: {len(wrong)} of {len(checked)} comparisons failed" if wrong else "yes"
        yield "Do all kernels compute what they promise?", answer, wrong[0] if wrong else f"{len(checked)} comparisons"


def refused(rows: list[Row]) -> set[tuple[str, str]]:
    """Operations with the variants that were found to compute something else."""
    names = [row["name"].partition(", ")[0::2] for row in rows if row["stage"] == "check" and "error" in row]
    return {(op, rest.rpartition(" | ")[2]) for op, rest in names}


def _variants(rows: list[Row], wrong: set[tuple[str, str]]) -> Iterator[Decision]:
    """The fastest variant of every problem that computes it, if chance does not explain it."""
    for name, members in _ops(rows).items():
        variants = [row for row in members if "=" in row["implementation"]]
        right = [row for row in variants if (row["op"], _variant(row)) not in wrong]
        first = next((row for row in variants if row["is_default"]), None)
        if first is None or right in ([], [first]):
            continue
        best = min(right, key=lambda row: row["ms"])
        is_better = first not in right or first["ms"] / best["ms"] - 1 > max(CHANCE, chance(members))
        answer = _variant(best) if is_better or best is first else f"{_variant(first)} (no difference)"
        other = (
            first if best is not first else min((row for row in right if row is not first), key=lambda row: row["ms"])
        )
        reason = f"{best['ms']:.3f} ms against {other['ms']:.3f} ms of {_variant(other)}"
        yield f"Which variant for {name}?", answer, reason


def _targets(rows: list[Row]) -> Iterator[Decision]:
    """Our best against the best baseline, and against the floor."""
    for name, members in _ops(rows).items():
        ours = [row for row in members if row["implementation"].startswith(OURS)]
        others = [row for row in members if not row["implementation"].startswith("simcrop")]
        if not ours or not others:
            continue
        best, other = min(ours, key=lambda row: row["ms"]), min(others, key=lambda row: row["ms"])
        ratio = other["ms"] / best["ms"]
        target = TARGETS.get(name, TARGETS.get(f"{best['op']}: {best['direction']}"))
        share = best.get("of_floor")
        asked = f", {share:.0%} of the floor (asked: {target:.0%})" if share is not None and target else ""
        reached = "yes" if ratio >= 1 and (not asked or (share or 0) >= (target or 0)) else "no"
        yield f"Is {name} fast enough?", reached, f"{ratio:.2f} times as fast as {other['implementation']}{asked}"


def _ops(rows: list[Row]) -> dict[str, list[Row]]:
    """The rows of each problem and direction."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row["stage"] == "ops":
            groups.setdefault(row["name"].rpartition(" | ")[0], []).append(row)
    return groups


def chance(rows: list[Row]) -> float:
    """How far the two rows of one implementation lie apart, as a share."""
    times = {row["implementation"]: row["ms"] for row in rows}
    pairs = [(times[name.removesuffix(AGAIN)], ms) for name, ms in times.items() if name.endswith(AGAIN)]
    return max((max(pair) / min(pair) - 1 for pair in pairs), default=0.0)


def _variant(row: Row) -> str:
    return row["implementation"].removeprefix(f"{OURS}, ")


def _step(rows: list[Row]) -> Iterator[Decision]:
    """Each lever of a step against the step that lacks it alone."""
    steps = {row["name"]: row for row in rows if row["stage"] == "step"}
    eager = steps.get("eager")
    for name, row in steps.items():
        if eager is not None and row is not eager:
            ratio = eager["ms"] / row["ms"]
            reason = f"{row['ms']:.1f} ms against {eager['ms']:.1f} ms; {row['studies_per_s']:.0f} studies/s"
            answer = f"{'yes' if ratio > 1 + CHANCE else 'no'}, {ratio:.2f} times"
            yield f"Is a step faster with {name}?", answer, reason


def _attention(rows: list[Row]) -> Iterator[Decision]:
    """The fastest backend of every shape."""
    shapes: dict[str, list[Row]] = {}
    for row in rows:
        if row["stage"] == "attention":
            shapes.setdefault(row["shape"], []).append(row)
    for shape, members in shapes.items():
        best = min(members, key=lambda row: row["ms"])
        reason = ", ".join(f"{row['backend']} {row['ms']:.3f} ms" for row in members)
        yield f"Which attention for {shape}?", best["backend"], reason


def _loader(rows: list[Row]) -> Iterator[Decision]:
    """Whether the loader keeps up with the fastest step."""
    loaders = [row for row in rows if row["stage"] == "loader"]
    steps = [row for row in rows if row["stage"] == "step"]
    if loaders and steps:
        best = max(loaders, key=lambda row: row["studies_per_s"])
        needed = max(row["studies_per_s"] for row in steps)
        answer = "yes" if best["studies_per_s"] >= needed else "no"
        reason = f"{best['studies_per_s']:.0f} studies/s with {best['name']}; a step takes {needed:.0f}"
        yield "Does the loader keep up with the step?", answer, reason
