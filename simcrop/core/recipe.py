"""The parameters of a run as frozen dataclasses; the YAML file has the same names.

Defaults are the `improved` recipe. `PAPER` lists what the `paper` recipe changes, `PRESETS` the model sizes; keys that
a user writes win over both. Every class refuses impossible values on construction with a `ConfigError` that names the
key relative to its section.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from math import prod
from typing import Any, ClassVar, Literal

from simcrop.core.errors import ConfigError
from simcrop.core.ops import PatchSize, Window

Size = tuple[int, int, int]


def require(condition: bool, message: str) -> None:
    """Raise ConfigError with the message unless the condition holds."""
    if not condition:
        raise ConfigError(message)


class Section:
    """A section of the configuration: pydantic reads neither unknown keys nor NaN into it.

    The checks name a key as it is given, with or without its section before a dot; None may stand for any value.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "allow_inf_nan": False}

    def _at_least(self, least: int, *keys: str) -> None:
        for key, value in self._given(keys):
            require(value >= least, f"{key}: {value} is below {least}")

    def _above_zero(self, *keys: str) -> None:
        for key, value in self._given(keys):
            require(value > 0, f"{key}: {value} is not above 0")

    def _within(self, interval: str, *keys: str) -> None:
        """Check against an interval such as "[0, 1)", which the message repeats."""
        low, high = (float(end) for end in interval[1:-1].split(", "))
        for key, value in self._given(keys):
            is_inside = low < value < high or (interval[0] == "[" and value == low)
            require(is_inside or (interval[-1] == "]" and value == high), f"{key}: {value} is outside {interval}")

    def _given(self, keys: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        values = ((key, getattr(self, key.rpartition(".")[2])) for key in keys)
        return ((key, value) for key, value in values if value is not None)


@dataclass(frozen=True)
class ModelRecipe(Section):
    """Sizes of the network and how a volume becomes tokens (docs/method.md, sections 1 to 5)."""

    preset: Literal["tiny", "vit_b"] = "tiny"
    """Named set of defaults for every other key of this section and for `top_k`."""
    in_channels: int = 1
    """Channels of a volume; CT has one."""
    volume_size: Size = (96, 96, 48)
    """Voxels along x (left to right), y (back to front), z (feet to head) that the model sees."""
    patch_size: PatchSize = (12, 12, 6)
    """Voxels of one patch; must divide volume_size."""
    spacing_mm: tuple[float, float, float] = (3.5, 3.5, 7.0)
    """Voxel spacing of the model's grid, mm."""
    window: Window = (-1000.0, 1000.0)
    """HU range mapped to [-1, 1]."""
    windows: tuple[Window, ...] | None = None
    """1 to 16 HU ranges, each a channel of the patch embedding, as in [[-1000, 1000], [-150, 250]]; null: `window`.
    What is rebuilt, and what counts as air, is told by `window` alone."""
    mask_ratio: float = 0.75
    """Share of patches hidden from the encoder."""
    embed_dim: int = 128
    """Width of the encoder."""
    depth: int = 4
    """Blocks of the encoder."""
    num_heads: int = 4
    """Attention heads of an encoder block."""
    mlp_ratio: float = 4.0
    """Hidden width of an MLP over the width of its block."""
    position_embedding: Literal["sincos3d", "sincos_hw"] = "sincos3d"
    """sincos3d encodes all three axes; sincos_hw (paper) leaves depth out."""
    ignore_air: bool = True
    """Patches of nothing but air are never the place of a sentence; False (paper) lets them be."""
    local_patch_size: PatchSize | Literal["half"] | None = "half"
    """Voxels of a patch of the local path, which sentences are compared with instead of the encoder's tokens; half:
    half of patch_size on every axis where that is whole; null (paper): no local path."""
    local_dim: int = 128
    """Width of the local path."""
    local_depth: int = 1
    """MLPs that the local path applies to every patch."""
    local_keep: float = 0.25
    """Share of a volume's local patches that a training step looks at, those of tissue first."""
    init: str = "scratch"
    """scratch, or the path of encoder weights to start from."""
    decoder_dim: int = 64
    """Width of the volume decoder."""
    decoder_depth: int = 1
    """Blocks of the volume decoder."""
    decoder_heads: int = 2
    """Attention heads of a volume decoder block."""
    projection_dim: int = 96
    """Width shared by image and text: of the alignment heads, the fusion layer and the text decoder."""
    fusion_heads: int = 3
    """Attention heads of the fusion layer and of the text decoder's layers."""
    fusion_mlp_dim: int = 192
    """Hidden width of the feed-forward parts of the fusion layer and of the text decoder's layers."""
    text_decoder_depth: int = 1
    """Layers of the text decoder."""
    dropout: float = 0.0
    """Dropout of the fusion layer and the text decoder."""

    def __post_init__(self) -> None:
        self._at_least(1, "in_channels")
        for axis, (size, patch) in enumerate(zip(self.volume_size, self.patch_size, strict=True)):
            require(patch >= 1 and size >= 1, f"patch_size: axis {axis} has a size below 1")
            require(
                size % patch == 0,
                f"volume_size: {size} voxels on axis {axis} are not divisible by patch_size {patch}; "
                f"take {max(1, round(size / patch)) * patch}",
            )
        require(all(s > 0 for s in self.spacing_mm), "spacing_mm: every value must be above 0")
        require(self.window[0] < self.window[1], f"window: low {self.window[0]} is not below high {self.window[1]}")
        require(1 <= len(self.input_windows) <= 16, f"windows: {len(self.input_windows)} are not 1 to 16; null for one")
        for low, high in self.input_windows:
            require(low < high, f"windows: low {low} is not below high {high}")
        self._within("[0, 1)", "mask_ratio")
        require(self.num_visible >= 1, f"mask_ratio: {self.mask_ratio} leaves no visible patch of {self.num_patches}")
        _divisible("embed_dim", self.embed_dim, "num_heads", self.num_heads)
        _divisible("decoder_dim", self.decoder_dim, "decoder_heads", self.decoder_heads)
        _divisible("projection_dim", self.projection_dim, "fusion_heads", self.fusion_heads)
        if self.position_embedding == "sincos_hw":
            for key in ("embed_dim", "decoder_dim"):
                require(getattr(self, key) % 2 == 0, f"{key}: sincos_hw needs an even width, not {getattr(self, key)}")
        self._within("[0, 1)", "dropout")
        self._at_least(1, "depth", "decoder_depth", "text_decoder_depth", "fusion_mlp_dim")
        self._check_local_path()

    def _check_local_path(self) -> None:
        if self.local is not None:
            for axis, (size, patch) in enumerate(zip(self.volume_size, self.local, strict=True)):
                require(
                    patch >= 1 and size % patch == 0,
                    f"local_patch_size: {patch} voxels on axis {axis} do not divide the {size} of volume_size",
                )
        self._at_least(6, "local_dim")
        self._at_least(0, "local_depth")
        self._within("(0, 1]", "local_keep")

    @property
    def grid(self) -> Size:
        """Patches along each axis."""
        x, y, z = (size // patch for size, patch in zip(self.volume_size, self.patch_size, strict=True))
        return x, y, z

    @property
    def num_patches(self) -> int:
        """N, patches of a volume."""
        return self.grid[0] * self.grid[1] * self.grid[2]

    @property
    def num_visible(self) -> int:
        """L, patches that the encoder sees in training: N - round(mask_ratio * N)."""
        return self.num_patches - round(self.mask_ratio * self.num_patches)

    @property
    def local(self) -> PatchSize | None:
        """Voxels of a patch of the local path; None without one."""
        if self.local_patch_size != "half":
            return self.local_patch_size
        x, y, z = (patch // 2 if patch % 2 == 0 else patch for patch in self.patch_size)
        return x, y, z

    @property
    def matched_patch_size(self) -> PatchSize:
        """Voxels of a patch that sentences are compared with."""
        return self.patch_size if self.local is None else self.local

    @property
    def matched_grid(self) -> Size:
        """Such patches along each axis."""
        x, y, z = (size // patch for size, patch in zip(self.volume_size, self.matched_patch_size, strict=True))
        return x, y, z

    @property
    def num_matched(self) -> int:
        """Patches of a volume that late interaction compares with sentences in a training step."""
        return self.num_visible if self.local is None else max(1, round(self.local_keep * prod(self.matched_grid)))

    @property
    def patch_values(self) -> int:
        """P, values of one patch over all channels."""
        return self.in_channels * self.patch_size[0] * self.patch_size[1] * self.patch_size[2]

    @property
    def input_windows(self) -> tuple[Window, ...]:
        """Windows under which the encoder reads a volume."""
        return (self.window,) if self.windows is None else self.windows

    @property
    def input_channels(self) -> int:
        """Channels of the patch embedding's weight: those of a volume under the first window, then the next."""
        return self.in_channels * len(self.input_windows)


def _divisible(width_key: str, width: int, heads_key: str, heads: int) -> None:
    require(heads >= 1, f"{heads_key}: {heads} is below 1")
    require(width >= 1 and width % heads == 0, f"{width_key}: {width} is not divisible by {heads_key} {heads}")


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
    reads_reports = True

    def __post_init__(self) -> None:
        self._within("(0, 1]", "report.mask_ratio")


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


@dataclass(frozen=True)
class ObjectivesRecipe(Section):
    """The terms of the loss; their sum, weighted, is what is minimised (docs/method.md, section 6)."""

    reconstruction: ReconstructionRecipe = field(default_factory=ReconstructionRecipe)
    report: ReportRecipe = field(default_factory=ReportRecipe)
    alignment: AlignmentRecipe = field(default_factory=AlignmentRecipe)
    late_interaction: LateInteractionRecipe = field(default_factory=LateInteractionRecipe)

    def __post_init__(self) -> None:
        for name in TERMS:
            weight = getattr(self, name).weight
            require(weight >= 0, f"{name}.weight: {weight} is below 0")
        require(bool(self.active), f"{TERMS[0]}.weight: every weight is 0; nothing would be trained")

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


@dataclass(frozen=True)
class TextEncoderRecipe(Section):
    """The report encoder (docs/method.md, section 7)."""

    source: str = "scratch"
    """scratch, a hub id, or a folder with a BERT-type model and its tokenizer."""
    revision: str | None = None
    """Commit of the hub id; pin it."""
    frozen: bool | None = None
    """No gradient. Unset: frozen for a loaded encoder, trained for scratch."""
    context: Literal["sentence", "report"] | None = None
    """How a sentence is read for its place. sentence: by itself; report (paper): among all findings. Unset: sentence
    for scratch, report for a loaded encoder, which knows whole texts."""
    dropout_active: bool = False
    """True (paper): a frozen encoder keeps its dropout."""
    keep_findings: bool = True
    """Let a frozen encoder without dropout read all findings once, before training, and keep what it made of them."""
    max_tokens: int = 256
    """T, tokens of a report that are read."""
    hidden_size: int = 96
    """scratch only: width."""
    depth: int = 1
    """scratch only: layers; 0: word vectors, none of which knows of another word."""
    num_heads: int = 3
    """scratch only: attention heads."""
    vocab_size: int = 2048
    """scratch only: upper limit of the WordPiece vocabulary, learned from the training reports."""
    dropout: float = 0.0
    """scratch only: of its layers and attention."""

    def __post_init__(self) -> None:
        self._at_least(8, "max_tokens")
        _divisible("hidden_size", self.hidden_size, "num_heads", self.num_heads)
        self._at_least(0, "depth")
        self._at_least(128, "vocab_size")
        self._within("[0, 1)", "dropout")

    @property
    def is_frozen(self) -> bool:
        """Whether the encoder's weights stay as they are."""
        return self.source != "scratch" if self.frozen is None else self.frozen

    @property
    def reads_sentences_apart(self) -> bool:
        """Whether each sentence of the findings is read by itself."""
        return self.source == "scratch" if self.context is None else self.context == "sentence"

    @property
    def reads_findings_once(self) -> bool:
        """Whether what the encoder makes of the findings never changes, and is to be kept."""
        return self.keep_findings and self.is_frozen and not self.dropout_active


@dataclass(frozen=True)
class Optimisation(Section):
    """How weights are updated, scored and saved, whatever is trained (docs/method.md, section 6)."""

    least_steps: ClassVar[int] = 1

    steps: int = 300
    """Updates of the weights, at most."""
    batch_size: int = 32
    """Studies of one update."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """muon: Muon for the weights of linear layers, AdamW for all others; learns faster from few studies."""
    lr: float = 1e-3
    """Peak learning rate, absolute: never scaled by batch size or ranks."""
    min_lr: float = 0.0
    """Learning rate at the last step, to which half a cosine leads."""
    warmup_steps: int | None = None
    """Steps of linear rise to the peak; null takes a tenth of all."""
    weight_decay: float = 0.05
    """Decay of weight matrices; biases, norms and other vectors are not decayed."""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's averaging factors."""
    grad_clip: float | None = 1.0
    """Upper limit of the gradient norm; null leaves it alone."""
    evaluate_every: int | None = None
    """Steps between scores on studies that are not learned from; the last step always has one, with null it alone."""
    patience: int | None = None
    """Scores without improvement after which training ends; null goes on to the last step."""
    checkpoint_every: int = 100
    """Steps between saved states, from which a run that was stopped or killed goes on."""

    def __post_init__(self) -> None:
        self._at_least(self.least_steps, "steps")
        self._at_least(1, "batch_size", "evaluate_every", "patience", "checkpoint_every")
        self._above_zero("lr")
        require(0 <= self.min_lr <= self.lr, f"min_lr: {self.min_lr} is outside [0, lr]")
        require(
            self.warmup_steps is None or 0 <= self.warmup_steps < max(self.steps, 1),
            f"warmup_steps: {self.warmup_steps} leaves no step of {self.steps} after the warm-up",
        )
        self._at_least(0, "weight_decay")
        require(self.grad_clip is None or self.grad_clip > 0, f"grad_clip: {self.grad_clip} is not above 0; use null")

    @property
    def warmup(self) -> int:
        """Steps of warm-up, as given or a tenth of all."""
        return round(self.steps / 10) if self.warmup_steps is None else self.warmup_steps


@dataclass(frozen=True)
class TrainRecipe(Optimisation):
    """Optimisation and bookkeeping of pre-training (docs/method.md, section 6)."""

    batch_size: int = 32
    """Studies in a micro-batch on one rank."""
    warmup_steps: int | None = 30
    """Steps of linear rise to the peak, before the half cosine; null takes a tenth of all."""
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's averaging factors."""
    evaluate_every: int | None = 100
    """Steps between held-out losses; the last step always has them, with null it alone."""
    accumulate: int = 1
    """Micro-batches of one update."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 autocast on a GPU, fp32 on a CPU."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: a GPU where there is one."""
    ops: Literal["auto", "reference", "triton"] = "auto"
    """Implementation of the accelerated operations."""
    attention: Literal["auto", "torch", "cudnn", "flash", "efficient"] = "auto"
    """Which implementation of attention the encoder and decoder blocks try first on a GPU; auto and torch: torch's own
    order."""
    compile: bool | Literal["auto"] = "auto"
    """Compile the encoder and decoder blocks with torch.compile, for training steps alone; auto: on a GPU."""
    activation_checkpointing: bool = False
    """Recompute encoder and decoder blocks in the backward pass: less memory, more time."""
    threads: int | None = None
    """CPU threads of torch; null leaves its default."""
    fixed_draws: bool = False
    """True: every epoch repeats the masks and crops of the first (for overfitting checks)."""
    keep_checkpoints: int = 2
    """Newest checkpoints kept, besides the best."""
    picture_every: int = 100
    """Steps between pictures; the last step always draws them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least(1, "accumulate", "picture_every")
        self._at_least(2, "keep_checkpoints")


@dataclass(frozen=True)
class AugmentRecipe(Section):
    """Random changes of a training volume (docs/method.md, section 6)."""

    crop: bool = True
    """Crop at random inside the prepared volume; False: at the centre."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Range of the size of the cropped box relative to volume_size; other than 1 resamples."""
    flip: float = 0.0
    """Chance of a flip along each axis (paper 0.2; left and right carry meaning in reports)."""
    pad: Literal["air", "reflect"] = "air"
    """What lies outside the prepared volume."""
    shift: float = 0.1
    """Largest shift of intensity, in units of the windowed range [-1, 1]."""
    shift_probability: float = 0.1
    """Chance of a shift."""

    def __post_init__(self) -> None:
        require(0 < self.scale[0] <= self.scale[1], f"augment.scale: {self.scale} is not an ascending range above 0")
        self._within("[0, 1]", "augment.flip", "augment.shift_probability")


PAPER: dict[str, Any] = {
    "model": {"position_embedding": "sincos_hw", "ignore_air": False, "local_patch_size": None},
    "objectives": {
        "reconstruction": {"target": "raw", "loss": "all"},
        "report": {"mask": "any", "loss": "all"},
        "alignment": {"negatives": "report", "padding_negatives": True, "mask_duplicates": False},
        "late_interaction": {"weight": 0.0},
    },
    "text_encoder": {"context": "report", "dropout_active": True},
    "train": {"grad_clip": None},
    "data": {
        "augment": {"scale": (0.8, 1.0), "flip": 0.2, "pad": "reflect", "shift": 0.1, "shift_probability": 0.1},
    },
}
"""What the `paper` recipe changes, by section."""

PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {},
    "vit_b": {
        "model": {
            "volume_size": (224, 224, 112),
            "patch_size": (16, 16, 8),
            "spacing_mm": (1.5, 1.5, 3.0),
            "embed_dim": 768,
            "depth": 12,
            "num_heads": 12,
            "local_dim": 384,
            "decoder_dim": 768,
            "decoder_depth": 4,
            "decoder_heads": 16,
            "projection_dim": 768,
            "fusion_heads": 6,
            "fusion_mlp_dim": 1536,
            "text_decoder_depth": 6,
            "dropout": 0.1,
        },
        "objectives": {"alignment": {"top_k": 32}, "late_interaction": {"top_k": 4}},
        "text_encoder": {
            "max_tokens": 512,
            "hidden_size": 256,
            "depth": 2,
            "num_heads": 4,
            "vocab_size": 8192,
            "dropout": 0.1,
        },
    },
}
"""What a model preset changes, by section."""
