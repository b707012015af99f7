"""The terms of the loss."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import ClassVar, Literal

from simcrop.core.recipe.section import Section, require


class ObjectiveSection(Section):
    """Keys that every objective's section has."""

    weight: float
    """Factor in the total; 0 switches the objective off."""
    reads_reports: ClassVar[bool] = False
    """Whether it needs the report."""
    matches_sentences: ClassVar[bool] = False
    """Whether it compares sentences with patches, which then share a space."""


@dataclass(frozen=True)
class ReconstructionRecipe(ObjectiveSection):
    """Masked volume reconstruction (docs/method.md, section 3)."""

    weight: float = 1.0
    """Factor in the total; 0 switches the decoder off."""
    target: Literal["patch_norm", "raw"] = "patch_norm"
    """patch_norm standardises every patch by itself; raw (paper) predicts windowed voxels."""
    loss: Literal["masked", "all"] = "masked"
    """masked: mean over masked values; all (paper): over all values with visible ones counted as 0."""
    prediction_ratio: float = 1.0
    """Share of the hidden patches, drawn anew each time, that a step rebuilds; the decoder never meets the others."""

    def __post_init__(self) -> None:
        self._within("(0, 1]", "reconstruction.prediction_ratio")
        is_whole = self.prediction_ratio == 1 or self.loss == "masked"
        require(is_whole, "reconstruction.prediction_ratio: below 1 needs loss: masked, not all")


@dataclass(frozen=True)
class ReportRecipe(ObjectiveSection):
    """Masked report reconstruction (docs/method.md, section 5)."""

    weight: float = 1.0
    """Factor in the total; 0 switches fusion and text decoder off."""
    mask_ratio: float = 0.75
    """Share of tokens replaced by [MASK]."""
    mask: Literal["real", "any"] = "real"
    """real: exactly that share of the real tokens; any (paper): each position by chance, padding included."""
    loss: Literal["masked", "all"] = "masked"
    """masked: cross-entropy over masked tokens; all (paper): over every position."""
    aligned_key: float = 0.0
    """Above 0 words also read the mean of what all sentences have selected, times this, as if it were one more patch;
    the first code of the authors' later extension has 0.2. Needs alignment."""
    reads_reports = True

    def __post_init__(self) -> None:
        self._within("(0, 1]", "report.mask_ratio")
        self._at_least(0, "report.aligned_key")


@dataclass(frozen=True)
class AlignmentRecipe(ObjectiveSection):
    """Similarity-driven alignment (docs/method.md, section 4)."""

    weight: float = 1.0
    """Factor in the total; 0 switches the objective off."""
    top_k: int = 8
    """K, patches averaged for each sentence."""
    temperature: float = 0.07
    """Divides the cosines of the InfoNCE loss."""
    negatives: Literal["report", "batch", "global"] = "report"
    """Other sentences that a sentence is told apart from: of its report, of the micro-batch, or of all ranks."""
    padding_negatives: bool = False
    """True (paper): padding sentences stay in the denominators."""
    padding_patches: Literal["first", "drawn"] = "first"
    """Patches that such a padding sentence, similar to none, takes: the first visible ones, or (paper) drawn ones."""
    mask_duplicates: bool = True
    """False (paper): verbatim repeats in other reports stay in the denominators."""
    reads_reports = matches_sentences = True

    def __post_init__(self) -> None:
        require(1 <= self.top_k <= 128, f"alignment.top_k: {self.top_k} is outside 1..128")
        self._above_zero("alignment.temperature")


@dataclass(frozen=True)
class LateInteractionRecipe(ObjectiveSection):
    """Every sentence against every volume (docs/method.md, section 4, item 5; not in the paper)."""

    weight: float = 1.0
    """Factor in the total; 0 switches the objective off."""
    scan_weight: float = 0.5
    """Factor of the same loss on the encoder's mean token, beside that on the local path; without such a path every
    token of the encoder is compared, and this has no effect."""
    pooling: Literal["soft", "best"] = "soft"
    """How a sentence's cosines with the patches of a volume become its score there. soft: their log-sum-exp; best: the
    mean of the top_k."""
    temperature: float = 0.05
    """Of the log-sum-exp: towards 0 the best cosine alone counts, towards infinity their mean."""
    top_k: int = 16
    """k', cosines averaged where `pooling` is best."""
    same_above: float = 0.95
    """Sentences whose frozen text features have a cosine above this count as the same sentence."""
    reads_reports = matches_sentences = True

    def __post_init__(self) -> None:
        require(1 <= self.top_k <= 128, f"late_interaction.top_k: {self.top_k} is outside 1..128")
        self._above_zero("late_interaction.temperature")
        self._at_least(0, "late_interaction.scan_weight")


MAX_ORGAN_CLASSES = 15
"""As many as an int16 has bits beside its sign."""
CHEST_ORGANS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "left_lung": ("left_lung", "lung_upper_lobe_left", "lung_lower_lobe_left"),
        "right_lung": ("right_lung", "lung_upper_lobe_right", "lung_middle_lobe_right", "lung_lower_lobe_right"),
        "trachea": ("trachea",),
        "heart": (
            *("heart", "heart_myocardium", "heart_atrium_left", "heart_atrium_right"),
            *("heart_ventricle_left", "heart_ventricle_right"),
        ),
        "aorta": ("aorta",),
        "esophagus": ("esophagus",),
        "vertebrae": tuple(f"vertebrae_T{number}" for number in range(1, 13)),
        "ribs": tuple(f"rib_{side}_{number}" for side in ("left", "right") for number in range(1, 13)),
        "liver": ("liver",),
    }
)
"""Nine classes of a chest: the masks of phantoms, and those that TotalSegmentator 1 and 2 write, by name."""


@dataclass(frozen=True)
class OrganSharesRecipe(ObjectiveSection):
    """Share of each organ in every visible patch (docs/method.md, section 11; of the authors' later extension)."""

    weight: float = 0.0
    """Factor in the total; above 0 it needs masks of organs (docs/own-data.md)."""
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Class -> the masks that it is made of, by name, as in {lungs: [left_lung, right_lung]}; at most 15. A scan that
    has none of them teaches nothing of the class. Empty takes nine classes of a chest, docs/own-data.md names them."""

    def __post_init__(self) -> None:
        count = len(self.organs)
        require(count <= MAX_ORGAN_CLASSES, f"organ_shares.classes: {count} are more than {MAX_ORGAN_CLASSES}")
        for name, masks in self.classes.items():
            require(bool(masks), f"organ_shares.classes: {name} names no mask; write [{name}], or leave it out")

    @property
    def organs(self) -> Mapping[str, tuple[str, ...]]:
        """Class -> its masks, as given or those of a chest; in the order of the names, however they are written."""
        return dict(sorted((self.classes or CHEST_ORGANS).items()))


@dataclass(frozen=True)
class ObjectivesRecipe(Section):
    """The terms of the loss; their sum, weighted, is what is minimised (docs/method.md, section 6)."""

    reconstruction: ReconstructionRecipe = field(default_factory=ReconstructionRecipe)
    report: ReportRecipe = field(default_factory=ReportRecipe)
    alignment: AlignmentRecipe = field(default_factory=AlignmentRecipe)
    late_interaction: LateInteractionRecipe = field(default_factory=LateInteractionRecipe)
    organ_shares: OrganSharesRecipe = field(default_factory=OrganSharesRecipe)

    def __post_init__(self) -> None:
        for name in TERMS:
            weight = getattr(self, name).weight
            require(weight >= 0, f"{name}.weight: {weight} is below 0")
        require(bool(self.active), f"{TERMS[0]}.weight: every weight is 0; nothing would be trained")
        has_aligned = not (self.report.weight and self.report.aligned_key) or self.alignment.weight > 0
        require(has_aligned, "report.aligned_key: is above 0, and alignment.weight is 0; there is nothing to read")

    @property
    def active(self) -> dict[str, ObjectiveSection]:
        """The sections of the objectives that are switched on, by name."""
        sections: dict[str, ObjectiveSection] = {name: getattr(self, name) for name in TERMS}
        return {name: section for name, section in sections.items() if section.weight > 0}

    @property
    def matches_sentences(self) -> bool:
        """Whether any objective compares sentences with patches, so that sentences can be located."""
        return any(section.matches_sentences for section in self.active.values())

    @property
    def reads_reports(self) -> bool:
        """Whether any objective needs the report."""
        return any(section.reads_reports for section in self.active.values())


TERMS = tuple(section.name for section in fields(ObjectivesRecipe))
"""Names of the objectives, in the order in which they are computed, printed and logged."""
