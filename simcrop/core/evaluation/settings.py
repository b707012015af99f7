"""The sections of a configuration that say how a trained encoder is measured; `simcrop eval` reads them."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from simcrop.core.recipe import Optimisation, Section, require

Features = Literal["auto", "encoder", "max", "layers", "prototypes", "voxels"]
"""What stands for a volume; see docs/evaluation.md."""


@dataclass(frozen=True)
class LabelSettings(Section):
    """Labels that probe, knn, finetune and segment learn from."""

    percent: float = 100.0
    """Share of the patients outside the test set whose labels are learned from; those of 1 are among those of 10."""
    names: tuple[str, ...] = ()
    """Columns to use; empty takes all that the data set has, of radchestct the 16 that CT-RATE has too."""
    task: Literal["auto", "multilabel", "multiclass"] = "auto"
    """multilabel: every column by itself; multiclass: a study has exactly one; auto: multiclass for cc_ccii alone."""
    skip_unlabelled: bool = False
    """True: studies that lack a label are left out, and counted in the output, instead of being refused."""
    protocol: Literal["honest", "published"] = "honest"
    """probe: published is the authors' recipe, which chooses the model on the test set; its output says so."""
    features: Path | None = None
    """probe, knn: a table with a row of features for each study, of whatever made them, in place of an encoder: .csv,
    .parquet, .npz or .h5, or a folder with an .npz or .h5 file for each."""
    selection_fraction: float = 0.2
    """Share of those patients that choose between settings instead of being learned from."""

    def __post_init__(self) -> None:
        self._within("(0, 100]", "percent")
        require(len(set(self.names)) == len(self.names), f"names: {list(self.names)} names one twice")
        self._within("(0, 1)", "selection_fraction")


@dataclass(frozen=True)
class ProbeSettings(Section):
    """The linear probe of `simcrop eval probe` (docs/method.md, section 9)."""

    features: Features = "auto"
    """encoder: the mean token; max: the maximum too; layers: mean tokens of lower blocks too; prototypes: scores for
    typical sentences; auto: of these what tells the selection patients best; voxels: 12 x 12 x 12 cells, a baseline."""
    inverse_penalties: tuple[float, ...] = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
    """Values of C of the logistic regression that the selection patients choose from."""
    steps: int | None = None
    """published: updates of the linear layer; null takes the authors' number for the data and the share of labels."""
    lr: float | None = None
    """published: peak learning rate; null as above."""
    warmup_steps: int | None = None
    """published: steps of linear rise to it; null as above."""
    batch_size: int | None = None
    """published: studies of one update; null as above."""
    patience: int | None = None
    """published: scores without improvement after which training ends; null as above."""

    def __post_init__(self) -> None:
        require(
            bool(self.inverse_penalties) and all(value > 0 for value in self.inverse_penalties),
            f"inverse_penalties: {list(self.inverse_penalties)} are not one or more numbers above 0",
        )
        self._above_zero("steps", "lr", "batch_size", "patience")
        self._at_least(0, "warmup_steps")


@dataclass(frozen=True)
class NeighbourSettings(Section):
    """The nearest neighbours of `simcrop eval knn`."""

    features: Features = "auto"
    """encoder: the mean token; max: the maximum too; layers: mean tokens of lower blocks too; prototypes: scores for
    typical sentences; auto: of these what tells the selection patients best; voxels: 12 x 12 x 12 cells, a baseline."""
    counts: tuple[int, ...] = (1, 2, 5, 10, 20, 50, 100, 200)
    """Numbers of neighbours that the selection patients choose from; those above the number of studies are left out."""
    temperature: float = 0.07
    """A neighbour's vote weighs exp(cosine / temperature)."""

    def __post_init__(self) -> None:
        require(
            bool(self.counts) and all(count >= 1 for count in self.counts),
            f"counts: {list(self.counts)} are not one or more numbers from 1 on",
        )
        self._above_zero("temperature")


@dataclass(frozen=True)
class FinetuneSettings(Optimisation):
    """The training of encoder and head by `simcrop eval finetune`; volumes are augmented as data.augment says."""

    least_steps: ClassVar[int] = 0

    steps: int = 300
    """Updates of the weights, at most; 0 measures a fine-tuned checkpoint as it is."""
    batch_size: int = 16
    """Studies of one update; fewer where there are fewer to learn from."""
    optimizer: Literal["adamw", "muon"] = "muon"
    """muon: Muon for the weights of linear layers, AdamW for all others; AdamW alone needs many more steps."""
    lr: float = 3e-3
    """Peak learning rate of the head, absolute. Tried on the tiny preset alone."""
    evaluate_every: int | None = None
    """Steps between scores of the selection patients, whose best step is kept; null takes an epoch, at least 20."""
    patience: int | None = 10
    """Scores without improvement after which training ends; null goes on to the last step."""
    checkpoint_every: int = 50
    """Steps between saved states, from which a run that was stopped or killed goes on."""
    layer_decay: float | None = None
    """Factor of the learning rate from a block to the one below it; null takes 0.75, and 1 from scratch."""
    new_head: bool = False
    """True: of a fine-tuned checkpoint the encoder alone is taken, so that other labels can be learned."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._within("(0, 1]", "layer_decay")


@dataclass(frozen=True)
class ZeroShotSettings(Section):
    """How `simcrop eval zeroshot` asks for the findings of `labels.names`."""

    prompts: str = "reports"
    """reports: sentences of the training reports that speak of a finding; templates: built-in sentences, each a text of
    its own; or the path of a YAML or JSON file with sentences, see docs/evaluation.md. Some come with simcrop, such as
    configs/prompts/ct_rate_short.yaml."""
    sentences: int = 128
    """reports: sentences of either kind for a finding, at most."""
    threshold_studies: int = 256
    """Labelled training studies, at most, that choose from which score on a finding is called present; 0 takes none."""

    def __post_init__(self) -> None:
        require(bool(self.prompts.strip()), "prompts: is empty; write reports, templates, or the path of a file")
        self._at_least(1, "sentences")
        self._at_least(0, "threshold_studies")


@dataclass(frozen=True)
class RetrievalSettings(Section):
    """How `simcrop eval retrieval` scores a report in a volume."""

    protocol: Literal["honest", "published"] = "honest"
    """published: findings that repeat are left out, a report's own volume alone is right for it, and recall is told at
    5, 10, 50 and 100, as others do on CT-RATE."""
    distinct: bool | None = None
    """True: of held-out studies with the same findings, word for word, the first alone is searched for and among; null
    takes what the protocol says."""
    top: tuple[int, ...] | None = None
    """Numbers of candidates that recall is told for; null takes 1, 5 and 10, or those of the protocol."""
    weights: Literal["rarity", "equal"] = "rarity"
    """rarity: a sentence counts the more the fewer training reports hold it; equal: all count the same."""
    features: Path | None = None
    """A table with a row of features for each volume, of whatever made them, in place of a model, as labels.features is
    one. It needs text_features beside it."""
    text_features: Path | None = None
    """The same for each report, in the space of those; the score of a report in a volume is their cosine."""

    @property
    def takes_distinct(self) -> bool:
        """Whether findings that repeat are left out."""
        return self.protocol == "published" if self.distinct is None else self.distinct

    @property
    def counts(self) -> tuple[int, ...]:
        """Numbers of candidates that recall is told for, ascending."""
        usual = (5, 10, 50, 100) if self.protocol == "published" else (1, 5, 10)
        return tuple(sorted(self.top or usual))

    def __post_init__(self) -> None:
        require(
            self.top is None or (bool(self.top) and min(self.top) >= 1 and len(set(self.top)) == len(self.top)),
            f"top: {list(self.top or ())} are not one or more different numbers from 1 on",
        )
        require(
            (self.features is None) == (self.text_features is None),
            "features, text_features: one is named and the other is not; name both tables, or neither",
        )


@dataclass(frozen=True)
class GroundingSettings(Section):
    """How `simcrop eval grounding` compares similarity maps with masks."""

    folder: Path | None = None
    """Folder of masks in the format of docs/ground_truth.md; null takes ground_truth/ beside the data."""
    pictures: int = 2
    """Studies drawn of the best, the middle and the worst by the area under the curve of their maps."""
    reference_studies: int = 256
    """Training studies, at most, behind the map that a sentence gets without a look at its volume, here and in the
    summary of a run."""
    erased_studies: int = 32
    """phantom: studies that are made again without each of their findings, to see scores fall; 0 makes none."""

    def __post_init__(self) -> None:
        self._at_least(0, "pictures", "erased_studies")
        self._at_least(1, "reference_studies")
