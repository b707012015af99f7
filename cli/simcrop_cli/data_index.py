"""simcrop data index"""

from pathlib import Path
from typing import Annotated, Literal

import typer

_ON = (
    "What joins both: accession_number, study_id, or patient_id,study_date; COLUMN=THEIRS where the reports call it "
    "otherwise."
)
_STUDY = (
    "What a study is where no header tells, as in NIfTI; by default a folder that holds one file, or whose files bear "
    "its name, else a file."
)


def index(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Tree of DICOM, NIfTI, MetaImage or NRRD files.")],
    out: Annotated[Path, typer.Option(metavar="TABLE.csv", help="The table to write.", show_default=False)],
    reports: Annotated[
        Path | None, typer.Option(metavar="REPORTS", help="Table of reports that the studies get.", show_default=False)
    ] = None,
    on: Annotated[str | None, typer.Option(metavar="COLUMN", help=_ON, show_default=False)] = None,
    text_columns: Annotated[
        str, typer.Option(metavar="FINDINGS,IMPRESSION", help="Columns of the texts; one is the findings alone.")
    ] = "findings,impression",
    best_only: Annotated[
        bool, typer.Option("--best-only", help="Write the best series alone; with --reports, of studies that have one.")
    ] = False,
    prefer: Annotated[
        Literal["soft", "lung"] | None,
        typer.Option(help="Kernel that is taken before thinner series of another one.", show_default=False),
    ] = None,
    max_thickness: Annotated[
        float | None, typer.Option(metavar="MM", min=0, help="Thicker series are no best one.", show_default=False)
    ] = None,
    contrast: Annotated[
        Literal["with", "without"] | None,
        typer.Option(help="Series with, or without, contrast agent alone are best ones.", show_default=False),
    ] = None,
    study: Annotated[Literal["file", "folder"] | None, typer.Option(help=_STUDY, show_default=False)] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; all cores by default.")] = None,
) -> None:
    """Make a table of a tree of scans: a row for each volume, with a quick look at its headers, and its report.

    The best series of a study is one with which nothing is wrong: axial before other planes, original before derived,
    called a chest before another part, then the thinnest, and of equally thin ones soft tissue before lung.

    The table holds identifiers of patients, but no names of theirs: keep it where the scans may be kept.
    TABLE.left_out.csv names every other file with its reason. The same command goes on where it was killed.

    Example: simcrop data index export/ --out export/table.csv --reports ris.xlsx --on accession_number --best-only
    """
    from simcrop.adapters.sources.indexing.reports import ReportTable
    from simcrop.compose.indexing import IndexOptions, index_folder
    from simcrop.core.data.best_series import Preference
    from simcrop.core.errors import ConfigError
    from simcrop_cli.index_report import summary_lines

    if (reports is None) != (on is None):
        raise ConfigError("--reports and --on go together: a table of reports, and the column by which it is joined")
    table = None if reports is None or on is None else ReportTable(reports, on, text_columns.split(","))
    options = IndexOptions(Preference(prefer, max_thickness, contrast), best_only, study, table, workers)
    for line in summary_lines(index_folder(folder, out, options)):
        print(line)
