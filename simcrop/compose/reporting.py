"""`simcrop report`: a run and every evaluation below its folder, on one page."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.config.settings import as_yaml, config_from_tree
from simcrop.adapters.config.yaml_text import parse_yaml
from simcrop.adapters.figures.png import fewer_colours
from simcrop.adapters.pages.methods import methods_text
from simcrop.adapters.pages.metric_tables import metric_tables, summary_tables
from simcrop.adapters.pages.run_page import Chart, Part, RunPage, Series, write_run_page
from simcrop.adapters.system.outside_files import parse_json, read_json
from simcrop.adapters.system.provenance import git_commit, versions
from simcrop.compose.models import checkpoint_identity
from simcrop.core.errors import CheckpointError, ConfigError, DataError
from simcrop.core.recipe import TERMS

PAGE = "report.html"
_MOST_POINTS = 1500
"""Of a curve; of longer runs some rows are left out."""
_LARGE_PNG = 150_000
_MOST_PICTURES = 8
"""Of an evaluation; its folder has the others."""
_OTHER_CURVES = {
    "Learning rate": (("lr",), False),
    "Gradient norm": (("grad_norm",), True),
    "Studies per second": (("studies_per_second",), False),
    "Effective rank of features": (("rank_sentences", "rank_volumes"), False),
}


def report(run: Path, out: Path | None = None) -> Path:
    """Write the page of a run, finished or not.

    Args:
        run: its folder.
        out: the file; None takes report.html in the folder.

    Returns:
        The file.

    Raises:
        ConfigError: the folder is no run's, or the disk refuses.
        DataError: a file of the run is damaged.
    """
    if not (run / "config.yaml").is_file():
        raise ConfigError(f"{run}: is no run folder, as it has no config.yaml; name what `simcrop train` wrote to")
    path = run / PAGE if out is None else out
    write_run_page(path, _page(run, path.parent.resolve()))
    return path


def _page(run: Path, beside: Path) -> RunPage:
    config, summary, rows = _config(run / "config.yaml"), _read(run / "summary.json"), _metrics(run)
    evaluations = {path.parent: _read(path) for path in sorted(run.rglob("metrics.json"))}
    identity = _identity(run)
    step = rows[-1]["step"] if rows else 0
    made = {**versions(), **_manifest(run).get("versions", {})}
    commit = _manifest(run).get("git_commit", git_commit())
    num_train = next((about["data"]["num_train"] for about in evaluations.values() if "data" in about), None)
    return RunPage(
        title=config.name,
        lead=f"{run}: step {step} of {config.train.steps}" + ("" if summary else "; not finished"),
        warnings=[*_warnings(run, summary, evaluations, identity)],
        charts=[*_charts(rows)],
        parts=[*_parts(run, beside, summary, evaluations)],
        methods=methods_text(
            config, num_train=num_train, num_held_out=summary.get("num_held_out"), versions=made, commit=commit
        ),
        facts=_facts(config, summary, identity, made, commit),
        configuration=as_yaml(config),
    )


def _facts(
    config: RunConfig,
    summary: Mapping[str, Any],
    identity: Mapping[str, Any],
    made: Mapping[str, str],
    commit: str | None,
) -> dict[str, str]:
    found = {
        "Recipe": config.recipe,
        "Data": config.data.source,
        "Data, fingerprint": identity.get("data_fingerprint"),
        "Latest weights, sha256": identity.get("sha256"),
        "Versions": ", ".join(f"{name} {number}" for name, number in made.items()),
        "Commit": commit,
        "Wall time": None if "wall_time_s" not in summary else f"{summary['wall_time_s'] / 60:.1f} min",
    }
    return {term: str(text) for term, text in found.items() if text}


def _warnings(
    run: Path,
    summary: Mapping[str, Any],
    evaluations: Mapping[Path, Mapping[str, Any]],
    identity: Mapping[str, Any],
) -> Iterator[str]:
    if not summary:
        yield "The run is not finished, so it has no summary."
    for folder, about in evaluations.items():
        name = folder.relative_to(run).as_posix()
        yield from (f"{name}: {warning}" for warning in about.get("warnings", ()))
        measured = (about.get("checkpoint") or {}).get("sha256")
        if measured and identity and measured != identity["sha256"]:
            yield f"{name}: was measured on other weights (sha256 {measured[:12]}) than the latest of this run"


def _charts(rows: Sequence[Mapping[str, Any]]) -> Iterator[Chart]:
    terms = ["loss", *(f"loss_{name}" for name in TERMS)]
    for name in terms:
        title = name.replace("_", " ").capitalize()
        lines = [*_series(rows, name, "training"), *_series(rows, f"validation_{name}", "held out")]
        if lines:
            yield Chart(title, lines)
    for title, (names, is_log) in _OTHER_CURVES.items():
        lines = [line for name in names for line in _series(rows, name, name.replace("_", " "))]
        if lines:
            yield Chart(title, lines, is_log)


def _series(rows: Sequence[Mapping[str, Any]], key: str, name: str) -> Iterator[Series]:
    found = [(row["step"], row[key]) for row in rows if row.get(key) is not None]
    if found:
        kept = found[:: -(-len(found) // _MOST_POINTS)]
        has_dots = len(found) < len(rows) / 2
        yield Series(name, [step for step, _ in kept], [float(f"{value:.5g}") for _, value in kept], has_dots)


def _parts(
    run: Path, beside: Path, summary: Mapping[str, Any], evaluations: Mapping[Path, Mapping[str, Any]]
) -> Iterator[Part]:
    if summary:
        findings = summary.get("grounding_findings") or {}
        by_finding = metric_tables({"maps, by finding": findings}) if findings else []
        tables = [*summary_tables(summary), *by_finding]
        yield Part("Summary", ("Measured on held-out studies at the end of the run.",), tables)
    last = _last_pictures(run / "pictures")
    if last:
        yield Part("Pictures", ("One held-out study, chosen by a fixed rule, at the last step.",), pictures=last)
    for folder, about in evaluations.items():
        files = ("metrics.json", "predictions.csv", "pictures")
        links = {name: _relative(folder / name, beside) for name in files if (folder / name).exists()}
        pictures = {path.stem: _small(path) for path in sorted((folder / "pictures").glob("*.png"))[:_MOST_PICTURES]}
        title = f"{about.get('task', folder.name)} ({folder.relative_to(run).as_posix()})"
        yield Part(title, _origin(about), metric_tables(about.get("metrics", {})), pictures, links)


def _origin(about: Mapping[str, Any]) -> Sequence[str]:
    """The weights that were measured, and what intervals mean."""
    step = (about.get("checkpoint") or {}).get("step")
    confidence = about.get("config", {}).get("evaluation", {}).get("confidence", 0.95)
    weights = "" if step is None else f"The weights are those of step {step}. "
    return (f"{weights}Intervals hold {100 * confidence:g} % of what patients drawn again give.",)


def _last_pictures(folder: Path) -> dict[str, bytes]:
    """The pictures of the last step that has some; curves are drawn by the page itself."""
    steps = sorted({path.name.split("_")[1] for path in folder.glob("step_*_*.png")})
    paths = sorted(folder.glob(f"step_{steps[-1]}_*.png")) if steps else []
    return {path.stem.split("_", 2)[2]: _small(path) for path in paths if not path.stem.endswith("_curves")}


def _small(path: Path) -> bytes:
    """A picture for a mail: large ones in few colours."""
    content = path.read_bytes()
    return content if len(content) <= _LARGE_PNG else fewer_colours(content)


def _relative(path: Path, beside: Path) -> str:
    try:
        return path.resolve().relative_to(beside).as_posix()
    except ValueError:
        return path.resolve().as_uri()


def _config(path: Path) -> RunConfig:
    """The configuration of the run; what it names need not lie on this machine."""
    return config_from_tree(parse_yaml(path.read_text(encoding="utf-8"), str(path)), str(path))


def _metrics(run: Path) -> list[dict[str, Any]]:
    path = run / "metrics.jsonl"
    if not path.is_file():
        return []
    try:
        rows = [parse_json(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if not all(isinstance(row, dict) for row in rows):
            raise ValueError("a line is no object of JSON")
        return rows
    except ValueError as error:
        raise DataError(f"{path}: damaged ({error}); the run is not to be reported") from error


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: damaged ({error}); measure again, or remove it") from error
    return content if isinstance(content, dict) else {}


def _identity(run: Path) -> Mapping[str, Any]:
    try:
        return checkpoint_identity(run)
    except CheckpointError:
        return {}


def _manifest(run: Path) -> Mapping[str, Any]:
    latest = run / "checkpoints" / "latest"
    if not latest.is_file():
        return {}
    return _read(run / "checkpoints" / latest.read_text(encoding="utf-8").strip() / "manifest.json")
