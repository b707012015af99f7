"""The composition root: a configuration becomes a model, a run, a measurement. Only this package knows all sides."""

from simcrop.adapters.data_set import build_source, prepare_data, verify_prepared
from simcrop.adapters.models import config_of
from simcrop.compose.backend import select_ops
from simcrop.compose.models import build_model, checkpoint_identity, load_encoder, load_model
from simcrop.compose.training import TrainResult, prepare, train

__all__ = [
    "TrainResult",
    "build_model",
    "build_source",
    "checkpoint_identity",
    "config_of",
    "load_encoder",
    "load_model",
    "prepare",
    "prepare_data",
    "select_ops",
    "train",
    "verify_prepared",
]
