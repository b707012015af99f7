"""Writes the table of docs/data-problems.md from the reasons: `make guides`."""

from itertools import groupby

from simcrop.core.data.problems import REASONS
from support import REPOSITORY

GUIDE = REPOSITORY / "docs" / "data-problems.md"
_START, _END = "<!-- reasons -->\n", "<!-- end of reasons -->\n"


def guide_text(guide: str) -> str:
    """The guide with its tables as they ought to be."""
    before, rest = guide.split(_START)
    lines: list[str] = []
    for group, codes in groupby(REASONS, key=lambda code: code.split(".")[0]):
        lines += [f"\n## {group}\n", "| code | | what it is, or how it comes about | what to do |", "|---|---|---|---|"]
        for code in codes:
            reason = REASONS[code]
            cells = [cell.replace("|", "\\|") for cell in (reason.cause, reason.remedy)]
            lines.append(f"| `{code}` | {reason.severity} | {cells[0]} | {cells[1]} |")
    return before + _START + "\n".join(lines) + "\n" + _END + rest.split(_END)[1]


if __name__ == "__main__":
    GUIDE.write_text(guide_text(GUIDE.read_text(encoding="utf-8")), encoding="utf-8")
