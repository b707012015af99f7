"""The section of a configuration that says how `simcrop eval segment` trains and measures."""

from dataclasses import dataclass, replace
from typing import Literal

from simcrop.core.recipe import MOST_WIDTH, Optimisation, Size, require, require_few_voxels


@dataclass(frozen=True)
class SegmentSettings(Optimisation):
    """How `simcrop eval segment` trains the encoder as part of a UNETR (docs/method.md, section 9)."""

    steps: int = 5000
    """Updates of the weights, at most."""
    counted_in: Literal["steps", "epochs"] = "steps"
    """What steps, warmup_steps, evaluate_every and evaluate_after count: updates, or (paper) passes over the volumes
    that are learned from."""
    batch_size: int = 1
    """Volumes of one update."""
    lr: float = 1e-4
    """Peak learning rate, absolute."""
    warmup_steps: int | None = 0
    """Steps of linear rise to the peak; null takes a tenth of all."""
    weight_decay: float = 1e-5
    """Decay of weights, but for biases and norms."""
    evaluate_every: int | None = 250
    """Steps between measurements on the patients of labels.selection_fraction; the best step's weights are kept."""
    patience: int | None = 10
    """Measurements without a better one after which training ends; null goes on to the last step."""
    checkpoint_every: int = 200
    """Steps between saved states, from which a run that was stopped or killed goes on."""
    encoder_lr: float | None = None
    """Peak learning rate of the encoder alone, where the decoder should learn faster than a pre-trained encoder
    forgets; null takes lr."""
    classes: tuple[str, ...] = ()
    """Organs to tell apart, by the names of their masks; where two overlap the later one counts. Empty takes those of
    dataset.json (btcv), else left_lung, right_lung and trachea."""
    spacing_mm: tuple[float, float, float] | None = None
    """Voxel spacing of the grid that is segmented, mm; null takes the model's."""
    roi_size: Size | None = None
    """Voxels that the network sees at a time; null takes 96 x 96 x 48, or what of that the model's volume has, in whole
    patches."""
    feature_size: int = 16
    """Channels of the decoder at full resolution; 2, 4 and 8 times as many at the coarser ones."""
    crops_per_volume: int = 16
    """Regions cut from each volume: one around a voxel of an organ is as likely as one around the background."""
    foreground: bool = False
    """True (paper): of a volume the smallest box with all voxels above the middle of the window, 0 HU, is learned from
    and segmented; nothing is found outside."""
    background_above: float | None = None
    """HU; a region around the background is cut around a voxel above it (paper 0); null: around any."""
    flip: float = 0.0
    """Chance of a flip of a region along each axis (paper 0.2); one along the first swaps left and right organs."""
    intensity_scale: float = 0.0
    """Largest relative change of a region's windowed values in [-1, 1] (paper 0.1)."""
    intensity_shift: float = 0.0
    """Largest shift of the same values (paper 0.1)."""
    intensity_probability: float = 0.1
    """Chance of each of the two."""
    dice_smoothing: tuple[float, float] = (1e-5, 1e-5)
    """What the Dice loss adds to its numerator and to its denominator (paper 0 and 1e-6)."""
    background_dice: bool = False
    """True (paper): the background counts as a class in the mean Dice that chooses the step, and such a mean is
    reported beside that of the organs."""
    overlap: float = 0.5
    """Share of a region that it has in common with the next one, when a whole volume is segmented."""
    selection_studies: int | None = None
    """Studies of each measurement while training, at most; null takes all."""
    test_studies: int | None = None
    """Held-out studies that are segmented in the end, at most; null takes all."""
    hausdorff: bool = True
    """Measure the 95 % Hausdorff distance too, which takes long on large volumes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(len(set(self.classes)) == len(self.classes), f"classes: {list(self.classes)} names one twice")
        require(self.spacing_mm is None or min(self.spacing_mm) > 0, "spacing_mm: every value must be above 0")
        require(self.roi_size is None or min(self.roi_size) >= 1, "roi_size: every size must be at least 1")
        require_few_voxels("roi_size", self.roi_size)
        self._at_least(1, "feature_size", "crops_per_volume", "selection_studies", "test_studies")
        self._at_most(MOST_WIDTH, "feature_size")
        self._above_zero("encoder_lr")
        self._within("[0, 1)", "overlap")
        self._within("[0, 1]", "flip", "intensity_probability")
        self._at_least(0, "intensity_scale", "intensity_shift")
        numerator, denominator = self.dice_smoothing
        require(
            numerator >= 0 and denominator > 0,
            f"dice_smoothing: {list(self.dice_smoothing)} is not a number from 0 on and one above 0",
        )

    def in_steps(self, num_studies: int) -> "SegmentSettings":
        """The same with everything counted in updates.

        Args:
            num_studies: that are learned from; a pass over them takes one update for each `batch_size`, rounded up.
        """
        if self.counted_in == "steps":
            return self
        epoch = -(-num_studies // self.batch_size)
        return replace(
            self,
            counted_in="steps",
            steps=self.steps * epoch,
            warmup_steps=self.warmup * epoch,
            evaluate_every=None if self.evaluate_every is None else self.evaluate_every * epoch,
            evaluate_after=self.evaluate_after * epoch,
        )
