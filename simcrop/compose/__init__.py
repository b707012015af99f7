"""The composition root: a configuration becomes a model, a run, a measurement. Only this package knows all sides."""

from simcrop.adapters.sources.registry import build_source
from simcrop.compose.data import prepare_data, verify_prepared
from simcrop.compose.models import build_model, checkpoint_identity, config_of, load_encoder
from simcrop.compose.ops import select_ops
from simcrop.compose.trained import load_classifier, load_model, read_for
from simcrop.compose.training import TrainResult, prepare, train

__all__ = [
    "TrainResult",
    "build_model",
    "build_source",
    "checkpoint_identity",
    "config_of",
    "load_classifier",
    "load_encoder",
    "load_model",
    "prepare",
    "prepare_data",
    "read_for",
    "select_ops",
    "train",
    "verify_prepared",
]
