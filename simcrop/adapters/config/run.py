"""The configuration of a run as frozen dataclasses: what core/recipe has, and where data come from and go.

Each refuses impossible values on construction with a `ConfigError` that names the key relative to its section.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from simcrop.core.evaluation.segment_settings import SegmentSettings
from simcrop.core.evaluation.settings import (
    FinetuneSettings,
    GroundingSettings,
    LabelSettings,
    NeighbourSettings,
    ProbeSettings,
    RetrievalSettings,
    ZeroShotSettings,
)
from simcrop.core.recipe import (
    AugmentRecipe,
    ModelRecipe,
    ObjectivesRecipe,
    Section,
    Size,
    TextEncoderRecipe,
    TrainRecipe,
    require,
    require_few_voxels,
)

BUILT_IN = ("phantom", "manifest", "ct_rate", "radchestct", "luna16", "cc_ccii", "btcv", "dicom")
"""The data sets that simcrop reads itself; all but the first two lie in a folder that is named by data.root."""


@dataclass(frozen=True)
class DataSettings(Section):
    """Source of the studies, and the way of their volumes to the model."""

    source: str = "phantom"
    """phantom makes its own studies; manifest reads a table; ct_rate, radchestct, luna16, cc_ccii, btcv and dicom read
    a folder in the layout of that data set, dicom one with a folder for each series. The last five have no reports.
    A package may register more (docs/python.md)."""
    root: Path | None = None
    """Folder of the data set. phantom: where the studies are written; null takes data/phantom_CASES_SEED. manifest: the
    folder that its paths are relative to; null takes that of the table."""
    manifest: Path | None = None
    """manifest: the table with the columns volume, findings, impression: CSV, .xlsx or .parquet (docs/own-data.md)."""
    cases: int = 512
    """phantom: studies to make, held-out ones included."""
    phantom_seed: int = 0
    """phantom: seed of the studies, apart from the run's, so that seeds of a run can be compared on the same data."""
    options: Mapping[str, str | int | float | bool] = field(default_factory=dict[str, str | int | float | bool])
    """Of a data set that a package registers: whatever it asks for."""
    hu: Literal["hu", "header", "raw+csv"] = "hu"
    """ct_rate: what voxels hold: HU, values the header rescales, or values the metadata CSV rescales."""
    held_out_part: Literal["val", "tst"] = "val"
    """radchestct: the part that is held out; the other one is left out, so that nothing of the test part leaks."""
    grey_scaling: tuple[float, float] | None = None
    """cc_ccii: (slope, intercept) that turn grey values into HU, e.g. [5.88, -1350]; the pictures do not say."""
    spacing_mm: tuple[float, float, float] | None = None
    """cc_ccii: spacing of columns, rows and slices; the pictures do not say."""
    padding_value: float | tuple[float, ...] | None = None
    """Voxel value, or a list of them, that scanners wrote outside their field of view, e.g. -8192; read as air. What a
    DICOM file itself calls padding is read as air without it."""
    validation_fraction: float = 0.2
    """Share of patients held out where the source has no split of its own; for phantoms, the share made."""
    quarantine: tuple[str, ...] = ()
    """Names of volumes to leave out."""
    exclude: Path | None = None
    """A list of volumes or studies to leave out as well: a text file with one a line, or a column of a CSV, .xlsx or
    .parquet file, such as CT-RATE's no_chest_train.txt."""
    max_bad_share: float = 0.0
    """Share of the volumes that may turn out damaged, and are left out with a warning; above it the run stops."""
    prepared: Path = Path("data/prepared")
    """Folder of the resampled int16 volumes; each grid has its own folder inside."""
    prepared_shared: bool | Literal["auto"] = "auto"
    """Whether all nodes see the same data.prepared. true: each prepares its part; false: each prepares all for itself;
    auto finds out by a file that the first node writes there."""
    prepared_size: Size | None = None
    """Voxels of a prepared volume; null takes 8/7 of model.volume_size, room for random crops."""
    storage: Literal["raw", "blosc2"] = "raw"
    """raw keeps prepared volumes as they are; blosc2 compresses them without loss to about a third, and needs the extra
    of that name. See `simcrop data prepare`."""
    num_workers: int | Literal["auto"] = "auto"
    """Processes that load batches beside each training process; 0 loads in the training process itself. auto takes its
    share of the cores on a GPU, at most 8, and 0 on a CPU."""
    organ_masks: Path | None = None
    """Folder with masks of organs for objectives.organ_shares, a folder for each volume, as TotalSegmentator writes it
    or as in docs/ground_truth.md; null takes what the data set itself has."""
    augment: AugmentRecipe = field(default_factory=AugmentRecipe)

    def __post_init__(self) -> None:
        self._at_least(2, "cases")
        require(self.num_workers == "auto" or self.num_workers >= 0, f"num_workers: {self.num_workers} is below 0")
        self._within("[0, 1)", "validation_fraction", "max_bad_share")
        require(
            self.prepared_size is None or min(self.prepared_size) >= 1, "prepared_size: every size must be at least 1"
        )
        require_few_voxels("prepared_size", self.prepared_size)
        require(
            self.source not in BUILT_IN or not self.options,
            f"options: are for data sets of other packages; {self.source} has keys of its own",
        )
        require(
            self.source not in BUILT_IN[2:] or self.root is not None,
            f"root: source {self.source} needs it; name its folder",
        )
        for key in ("grey_scaling", "spacing_mm"):
            require(
                self.source != "cc_ccii" or getattr(self, key) is not None,
                f"{key}: source cc_ccii needs it, as its pictures do not say",
            )
        require(
            self.source != "manifest" or self.manifest is not None, "manifest: source manifest needs it; name its table"
        )

    @property
    def num_to_make(self) -> int | None:
        """Studies to train on that are made, so that their number is known ahead; None where studies are read."""
        return self.cases - round(self.cases * self.validation_fraction) if self.source == "phantom" else None


@dataclass(frozen=True)
class EvaluationSettings(Section):
    """What is measured on held-out studies, during a run, at its end and by `simcrop eval`."""

    loss_studies: int = 64
    """Held-out studies behind `validation_loss` every train.evaluate_every steps."""
    max_studies: int | None = None
    """Held-out studies of the summary at the end; null takes all."""
    probe_labelled: int = 64
    """Labelled held-out studies that the linear probe is fitted on."""
    probe_test: int = 256
    """Held-out studies that the probe is tested on, at least; fewer only where the data has fewer."""
    batch_size: int = 16
    """Volumes encoded at a time, unmasked."""
    bootstrap: int = 1000
    """Draws of test patients behind every interval of `simcrop eval`; 0 leaves intervals out."""
    confidence: float = 0.95
    """Share of such intervals that hold the true value."""
    reference_scans: int = 32
    """Held-out scans (without any, training scans) of which a run keeps features at its end, so that `simcrop locate`
    can say how a sentence's score compares; 0 keeps none."""

    def __post_init__(self) -> None:
        self._at_least(1, "loss_studies", "probe_labelled", "probe_test", "batch_size", "max_studies")
        self._at_least(0, "bootstrap", "reference_scans")
        self._within("(0, 1)", "confidence")


@dataclass(frozen=True)
class RunConfig(Section):
    """Everything that decides a run."""

    name: str = "run"
    """Folder of the run under runs/; unset, the name of the YAML file."""
    seed: int = 0
    """Every random draw of the run derives from it."""
    recipe: Literal["improved", "paper"] = "improved"
    """Set of defaults: the method put right, or as the authors' released code does it."""
    data: DataSettings = field(default_factory=DataSettings)
    model: ModelRecipe = field(default_factory=ModelRecipe)
    objectives: ObjectivesRecipe = field(default_factory=ObjectivesRecipe)
    text_encoder: TextEncoderRecipe = field(default_factory=TextEncoderRecipe)
    train: TrainRecipe = field(default_factory=TrainRecipe)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    labels: LabelSettings = field(default_factory=LabelSettings)
    probe: ProbeSettings = field(default_factory=ProbeSettings)
    knn: NeighbourSettings = field(default_factory=NeighbourSettings)
    finetune: FinetuneSettings = field(default_factory=FinetuneSettings)
    segment: SegmentSettings = field(default_factory=SegmentSettings)
    zeroshot: ZeroShotSettings = field(default_factory=ZeroShotSettings)
    retrieval: RetrievalSettings = field(default_factory=RetrievalSettings)
    grounding: GroundingSettings = field(default_factory=GroundingSettings)

    def __post_init__(self) -> None:
        require(
            re.fullmatch(r"\w[\w.-]*", self.name) is not None,
            f"name: {self.name!r} cannot be a folder; use letters, digits, dot, dash and underscore",
        )
        self._at_least(0, "seed")
        self._check_top_k()
        num_to_make = self.data.num_to_make
        for key in ("batch_size", "global_batch"):
            needed = getattr(self.train, key) or 0
            require(
                num_to_make is None or num_to_make >= needed,
                f"data.cases: {self.data.cases} studies leave {num_to_make} for training, below "
                f"train.{key} {needed}; raise the one or lower the other",
            )

    def _check_top_k(self) -> None:
        local, objectives = self.model.local is not None, self.objectives
        available = {"alignment": self.model.num_visible}
        if objectives.late_interaction.pooling == "best":
            available["late_interaction"] = self.model.num_matched
        for term, number in available.items():
            top_k: int = getattr(objectives, term).top_k
            is_local = local and term == "late_interaction"
            keys = "local_patch_size and local_keep" if is_local else "patch_size and mask_ratio"
            require(
                top_k <= number,
                f"objectives.{term}.top_k: {top_k} is above the {number} visible patches "
                f"(model.volume_size, {keys}); take at most {number}",
            )
