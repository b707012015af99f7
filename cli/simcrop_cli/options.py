"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file of the run, such as pretrain.yaml.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override one key of CONFIG; may be repeated."),
]
_CHECKPOINT = "Run folder, checkpoint, exported folder, hub id, or the authors' .pth file."
Checkpoint = Annotated[str, typer.Option(metavar="PATH", help=_CHECKPOINT, show_default=False)]
OptionalCheckpoint = Annotated[
    str | None, typer.Option("--checkpoint", metavar="PATH", help=_CHECKPOINT, show_default=False)
]
EvaluationFolder = Annotated[
    Path | None, typer.Option("--out", help="Folder of the result; runs/NAME/eval/TASK by default.", show_default=False)
]
Labels = Annotated[
    float | None,
    typer.Option(
        "--labels",
        metavar="PERCENT",
        help="Share of the labelled patients to learn from: 1, 10, 100 or any other.",
        show_default=False,
    ),
]
FeatureTable = Annotated[
    Path | None,
    typer.Option(
        "--features",
        metavar="FILE",
        help="Measure these features, of any model: .csv, .parquet, .npz or .h5 with a row for each study.",
        show_default=False,
    ),
]
TextFeatureTable = Annotated[
    Path | None,
    typer.Option(
        "--text-features",
        metavar="FILE",
        help="The features of the reports, in the space of those of the volumes: a row for each study.",
        show_default=False,
    ),
]
Protocol = Annotated[
    str | None,
    typer.Option(
        metavar="honest|published",
        help="honest (default) chooses on patients of its own; published repeats the authors' recipe.",
        show_default=False,
    ),
]
RetrievalProtocol = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        metavar="honest|published",
        help="published searches among distinct findings, and tells recall@5, 10, 50 and 100, as others do on CT-RATE.",
        show_default=False,
    ),
]
Distinct = Annotated[
    bool | None,
    typer.Option(
        "--distinct/--repeats",
        help="Leave out studies whose findings are those of another one; published does so.",
        show_default=False,
    ),
]
Top = Annotated[
    str | None,
    typer.Option(metavar="K,K,...", help="Numbers of candidates that recall is told for.", show_default=False),
]
Prompts = Annotated[
    str | None,
    typer.Option(
        metavar="reports|templates|FILE.yaml",
        help="Sentences that ask for each finding; those of the training reports by default.",
        show_default=False,
    ),
]
