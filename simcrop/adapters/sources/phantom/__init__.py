"""Phantom chests: studies made from nothing but a seed, as real files in CT-RATE's layout, with ground truth.

Beside each volume stands `ground_truth/VOLUME_NAME/` (the file's name without .nii.gz) with `sentences.json`:

    {"version": 1,
     "sentences": [{"text": "A 9.5 mm nodule is seen in the left upper lobe.",   # exactly a sentence of the findings
                    "finding": "Lung nodule",                                    # a CT-RATE label, or null
                    "present": true,                                             # false: denied, or a normal structure
                    "mask": "lesion_03.nii.gz"}, ...],                           # or null: names no place
     "organs": {"left_lung": "left_lung.nii.gz", "right_lung": ..., "trachea": ...}}

and the masks it names: uint8, 1 inside, on the volume's own grid and affine. Sentences may share a mask.
"""

from simcrop.adapters.sources.phantom.writer import write_phantoms

__all__ = ["write_phantoms"]
