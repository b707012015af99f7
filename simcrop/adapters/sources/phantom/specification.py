"""Draw what each phantom study is before anything is painted: patient, split, findings, words, grids."""

from dataclasses import dataclass, replace

import numpy as np

from simcrop.adapters.sources.label_tables import LABELS
from simcrop.adapters.sources.phantom.anatomy import Anatomy, sample_anatomy
from simcrop.adapters.sources.phantom.findings import sample_findings, sample_present
from simcrop.adapters.sources.phantom.phrases import CLINICAL, TECHNIQUE
from simcrop.adapters.sources.phantom.reports import Sentence, write_findings, write_impression
from simcrop.adapters.sources.phantom.sites import Lesion, pick
from simcrop.core.randomness import derive_seed

TWO_SCANS, TWO_RECONSTRUCTIONS = 0.12, 0.08
ORIENTATIONS = ("LPS", "LPS", "RAS", "LAS", "RPS", "LPI")


@dataclass(frozen=True)
class Slot:
    """A study's place in the data set.

    Attributes:
        index: of the study; its randomness depends on this and the seed alone.
        split: "train" or "valid", as CT-RATE's file names say.
        patient, scan: number of the patient in its split, letter of the scan.
        first: index of the patient's first study; the anatomy depends on it.
    """

    index: int
    split: str
    patient: int
    scan: str
    first: int

    @property
    def name(self) -> str:
        """CT-RATE's name of the scan, such as train_1_a."""
        return f"{self.split}_{self.patient}_{self.scan}"


@dataclass(frozen=True)
class Reconstruction:
    """A grid and the look of an image on it.

    Attributes:
        shape: voxels along x, y, z of the patient.
        spacing_mm: distance of voxel centres along them.
        center_mm: where the grid's centre lies in the patient.
        orientation: axis codes of the stored array, such as "LPS": the direction in which each index grows.
        tilt_deg: rotation of the grid in the scanner about x, y, z.
        origin_mm: where the grid's centre lies in the world.
        blur: width of the reconstruction kernel in voxels.
        noise_hu: spread of the noise before the kernel.
        seed: of the noise.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    center_mm: tuple[float, float, float]
    orientation: str
    tilt_deg: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    blur: float
    noise_hu: float
    seed: int


@dataclass(frozen=True)
class StudySpec:
    """A whole study: what to paint and what to write."""

    slot: Slot
    anatomy: Anatomy
    lesions: tuple[Lesion, ...]
    sentences: tuple[Sentence, ...]
    impression: str
    clinical: str
    technique: str
    reconstructions: tuple[Reconstruction, ...]

    @property
    def findings_text(self) -> str:
        """The findings section."""
        return " ".join(sentence.text for sentence in self.sentences)

    @property
    def labels(self) -> dict[str, int]:
        """CT-RATE's 18 labels."""
        present = {lesion.finding for lesion in self.lesions}
        return {label: int(label in present) for label in LABELS}


def plan(num_cases: int, seed: int, validation_fraction: float) -> list[Slot]:
    """The studies of a data set: `num_cases` of them, held out by patient as evenly as the fraction allows."""
    slots: list[Slot] = []
    counts = {"train": 0, "valid": 0}
    while len(slots) < num_cases:
        first, patients = len(slots), sum(counts.values())
        held_out = int((patients + 1) * validation_fraction) > int(patients * validation_fraction)
        split = "valid" if held_out else "train"
        counts[split] += 1
        scans = 2 if np.random.default_rng(derive_seed(seed, "scans", first)).uniform() < TWO_SCANS else 1
        for scan in "ab"[: min(scans, num_cases - first)]:
            slots.append(Slot(len(slots), split, counts[split], scan, first))
    return slots


def sample_study(slot: Slot, seed: int) -> StudySpec:
    """Draw one study from (seed, study index) and nothing else."""
    patient_seed = derive_seed(seed, "patient", slot.first)
    anatomy = sample_anatomy(np.random.default_rng(patient_seed), patient_seed)
    generator = np.random.default_rng(derive_seed(seed, "study", slot.index))
    present = sample_present(generator)
    if "Cardiomegaly" in present:
        growth = generator.uniform(1.26, 1.45)
        a, b, c = anatomy.heart
        anatomy = replace(anatomy, heart=(a * growth, b * growth, c * growth))
    lesions = sample_findings(anatomy, present, generator)
    sentences = write_findings(lesions, generator)
    impression = write_impression(lesions, generator)
    num_grids = 2 if generator.uniform() < TWO_RECONSTRUCTIONS else 1
    grids = tuple(_sample_grid(generator, sharp=bool(number)) for number in range(num_grids))
    technique = TECHNIQUE["contrast" if anatomy.blood_hu > 100 else "plain"]
    return StudySpec(
        slot=slot,
        anatomy=anatomy,
        lesions=lesions,
        sentences=sentences,
        impression=impression,
        clinical=pick(generator, CLINICAL),
        technique=technique.format(spacing=f"{grids[0].spacing_mm[2]:.1f}"),
        reconstructions=grids,
    )


def _sample_grid(generator: np.random.Generator, *, sharp: bool) -> Reconstruction:
    uniform = generator.uniform
    field_of_view = uniform(325, 390)
    in_plane = round(float(field_of_view / generator.integers(104, 133)), 3)
    between = round(float(np.clip(uniform(4.6, 7.0), 4.6, 7.0)), 2)
    columns = int(np.clip(round(field_of_view / in_plane), 100, 136))
    rows = int(np.clip(round(columns * uniform(0.86, 1.0)), 96, 136))
    slices = int(np.clip(np.ceil(uniform(302, 325) / between), 44, 72))
    oblique = uniform() < 0.15
    tilt = tuple(float(v) for v in uniform(-2.8, 2.8, size=3)) if oblique else (0.0, 0.0, 0.0)
    return Reconstruction(
        shape=(columns, rows, slices),
        spacing_mm=(in_plane, in_plane, between),
        center_mm=(uniform(-5, 5), uniform(-8, 2), uniform(-17, -7)),
        orientation=pick(generator, ORIENTATIONS),
        tilt_deg=(tilt[0], tilt[1], tilt[2]),
        origin_mm=(round(uniform(-12, 12), 2), round(uniform(-180, -120), 2), round(uniform(-420, 180), 2)),
        blur=uniform(0.38, 0.48) if sharp else uniform(0.5, 0.68),
        noise_hu=uniform(30, 55) if sharp else uniform(18, 42),
        seed=int(generator.integers(2**31)),
    )
