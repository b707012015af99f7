"""Reference scans that a run keeps at its end, for whoever looks for sentences with its model."""

from pathlib import Path

from simcrop.adapters.checkpoints.folder import find_checkpoint
from simcrop.adapters.checkpoints.reference_scans import save_references
from simcrop.core.data.held_out import HeldOutStudies
from simcrop.core.evaluation.prototypes import distinct_sentences
from simcrop.core.evaluation.references import gather_references
from simcrop.core.model.simcrop import SimCroP


def keep_references(
    out: Path, model: SimCroP, held_out: HeldOutStudies, training: HeldOutStudies, count: int, batch_size: int
) -> None:
    """Write what tells the scores of sentences in reference scans; nothing of a model that compares no sentences.

    Args:
        out: run folder; its latest checkpoint holds the weights of `model`.
        model: trained; its mode is restored.
        held_out: gives the scans, unless it has none.
        training: gives the sentences, and else the scans.
        count: of scans, at most.
        batch_size: scans that the model takes at a time.
    """
    if not count or not model.matches_sentences:
        return
    was_training = model.training
    model.eval()
    try:
        sentences = distinct_sentences(model, training, training.studies)
        if sentences is None:
            return
        scans = held_out if held_out.studies else training
        volumes = (batch for _, batch in scans.batches(scans.studies[:count], batch_size))
        references = gather_references(model, volumes, sentences, held_out=scans is held_out)
    finally:
        model.train(was_training)
    if references is not None:
        save_references(out, references, find_checkpoint(out).sha256)
