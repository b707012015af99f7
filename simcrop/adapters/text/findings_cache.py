"""Keep the features that a frozen text encoder makes of each study's findings: they never change.

    CACHE/findings_KEY/TEXT.npz    features: float16 [T, hidden], a row for each token

KEY is a hash of the encoder's weights, the tokenizer and how the encoder reads, TEXT one of the findings as written; so
another encoder or a corrected report is never a stale hit.
"""

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float16
from torch import Tensor, nn

from simcrop.adapters.system.cache_folder import cache_file, key_of, make_cache_folder
from simcrop.adapters.system.progress import counted
from simcrop.adapters.system.provenance import weights_sha256
from simcrop.adapters.text.tokenizer import HFTokenizer
from simcrop.core.data.batch import Encoding, padded
from simcrop.core.data.study import Report, Study
from simcrop.core.errors import DataError
from simcrop.core.ports import Communicator
from simcrop.core.recipe import TextEncoderRecipe
from simcrop.core.reports.reader import ReportReader

VERSION = 3
"""Goes up when the same findings would be divided into other sentences."""
_FIRST = ["simcrop", True]
"""Rule and separator while there was no other: they are left out of the key, so that what was kept is found."""


class StoredFindings:
    """Reads what `keep_findings` has written (port `FindingsFeatures`).

    Args:
        folder: CACHE/findings_KEY.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, report: Report, findings: Encoding) -> Float16[Tensor, "T hidden"]:
        """The features of a report's findings.

        Args:
            report: as the data set has it.
            findings: its tokens.

        Raises:
            DataError: absent, damaged (zip files carry a checksum), or of other tokens.
        """
        path = self.file(report)
        try:
            with np.load(path, allow_pickle=False) as archive:
                features = torch.from_numpy(archive["features"])
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: cannot be read ({error}); delete it and start again") from error
        if len(features) != len(findings.ids):
            raise DataError(
                f"{path}: holds {len(features)} tokens of findings that have {len(findings.ids)}; delete its folder "
                "and start again"
            )
        return features

    def file(self, report: Report) -> Path:
        """The file of a report's findings."""
        return self._folder / f"{hashlib.sha256(report.findings.encode()).hexdigest()[:32]}.npz"


def keep_findings(
    studies: Sequence[Study],
    *,
    tokenizer: HFTokenizer,
    text_encoder: nn.Module,
    recipe: TextEncoderRecipe,
    cache: Path,
    communicator: Communicator,
    part: tuple[int, int] = (0, 1),
) -> StoredFindings:
    """Compute what is missing, each rank its part, one report at a time, so that no other report moves a bit of it.

    Args:
        studies: whose findings are read.
        tokenizer, text_encoder: the encoder is put into eval mode; it reads on the device where its weights are.
        recipe: limit of a text, and how its sentences are read.
        cache: folder of all that is prepared.
        communicator: the ranks; all return when all is written.
        part: (i, n): this rank computes the i-th of n parts.

    Raises:
        DataError: the folder cannot be written.
    """
    identity: list[object] = [VERSION, weights_sha256(text_encoder), tokenizer.identity, recipe.max_tokens]
    how = [recipe.sentence_rule, recipe.separator]
    identity += [recipe.reads_sentences_apart, *(how if how != _FIRST else [])]
    folder = cache / f"findings_{key_of(identity)}"
    features = StoredFindings(folder)
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set[str]()
    reports = {features.file(study.report): study.report for study in studies}
    mine = [path for path in sorted(reports)[part[0] :: part[1]] if path.name not in there]
    reader = ReportReader.of(tokenizer, recipe)
    if mine:
        make_cache_folder(folder)
    text_encoder.eval()
    device = next(text_encoder.parameters()).device
    with counted(f"findings kept in {folder}") as progress:
        for done, path in enumerate(mine, 1):
            tokens = padded([reader.findings(reports[path]).encoding], tokenizer.pad_id).to(device)
            owners = tokens.sentence_of_token if recipe.reads_sentences_apart else None
            with torch.no_grad():
                read = text_encoder(tokens.ids, tokens.mask, owners)[0]
            with cache_file(path) as file:
                np.savez(file, features=read.half().cpu().numpy())
            if communicator.rank == 0:
                progress(done, len(mine))
    communicator.meet()
    return features
