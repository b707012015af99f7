"""Read the prompts that `zeroshot.prompts` names: sentences or terms of each finding.

A file (YAML or JSON) gives for a finding either sentences or words to pick sentences by:

    Lung nodule:
      present: ["A nodule is seen in the lung."]
      absent: ["No pulmonary nodule is seen."]
    Pleural effusion:
      terms: [pleura effusion, pleura fluid]

Several sentences of a side are an ensemble: the scores of each are averaged. A term is as in `core.reports.prompts`.
Files for CT-RATE and RAD-ChestCT come with simcrop, in `configs/prompts`.
"""

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from simcrop.adapters.config.shipped import here_or_shipped
from simcrop.adapters.config.yaml_text import parse_yaml
from simcrop.core.errors import ConfigError
from simcrop.core.reports.prompts import WORDS, FindingWords, Prompt, PromptTexts, templates, words_of
from simcrop.core.reports.script import WORD


def choose_prompts(setting: str, findings: Sequence[str], others: Collection[str] = ()) -> dict[str, Prompt]:
    """The prompts of every finding.

    Args:
        setting: reports, templates, or the path of a file; findings that the file leaves out take the built-in
            sentences. What it has of CT-RATE's findings beyond these is passed over.
        findings: labels that are asked for.
        others: labels of the data, of which it may have prompts too.

    Raises:
        ConfigError: the file cannot be read, or an entry is wrong; names the entry.
    """
    if setting == "reports":
        return {finding: words_of(finding) for finding in findings}
    if setting == "templates":
        return {finding: templates(finding) for finding in findings}
    given = read_prompts(Path(setting), findings, {*others, *WORDS})
    return {finding: given.get(finding) or templates(finding) for finding in findings}


def read_prompts(
    path: Path, findings: Sequence[str] | None, others: Collection[str] = (), key: str = "zeroshot.prompts"
) -> dict[str, Prompt]:
    """The prompts in a file; where it is not here, in the one of that name that comes with simcrop.

    Args:
        path: of the file.
        findings: that it may have prompts of; None for any.
        others: of which it may have prompts too.
        key: that names the file.

    Raises:
        ConfigError: as `choose_prompts` has it.
    """
    try:
        tree = parse_yaml(here_or_shipped(path).read_text(encoding="utf-8"), f"{key}: {path}")
    except (OSError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        reason = getattr(error, "strerror", None) or "not a UTF-8 text file"
        raise ConfigError(
            f"{key}: {path} cannot be read ({reason}); write reports, templates, or the path of a YAML or JSON file"
        ) from error
    prompts = prompts_of(tree, f"{key}: {path}")
    for finding in prompts:
        if findings is not None and finding not in findings and finding not in others:
            close = get_close_matches(finding, findings, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"the data has {', '.join(findings)}"
            raise ConfigError(f"{key}: {path}: {finding!r} is no label of the data; {hint}")
    return prompts


def prompts_of(tree: Any, where: str) -> dict[str, Prompt]:
    """The prompts in what a file holds.

    Args:
        tree: entries by finding.
        where: it is from, for messages.

    Raises:
        ConfigError: no finding, or an entry is wrong; names the entry.
    """
    if not isinstance(tree, Mapping) or not tree:
        raise ConfigError(f"{where} holds no finding; see docs/evaluation.md for the format")
    return {str(finding): _entry(where, str(finding), entry) for finding, entry in tree.items()}


def _entry(where: str, finding: str, entry: Any) -> Prompt:
    keys: set[Any] = set(entry) if isinstance(entry, Mapping) else set()
    if keys not in ({"present", "absent"}, {"terms"}):
        raise ConfigError(f"{where}: {finding} needs the keys present and absent, or terms; see docs/evaluation.md")
    for key, texts in entry.items():
        is_list = isinstance(texts, list | tuple) and texts
        if not is_list or not all(isinstance(text, str) and WORD.search(text) for text in texts):
            raise ConfigError(f"{where}: {finding}: {key} is no list of one or more texts with words")
    if "terms" in entry:
        return FindingWords((), tuple(entry["terms"]))
    return PromptTexts(tuple(entry["present"]), tuple(entry["absent"]))
