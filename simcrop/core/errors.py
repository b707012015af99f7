"""The errors that a user can meet.

    SimcropError
    ├── ConfigError (ValueError)        a key of the configuration: which one, why, what to write instead
    ├── InputError (ValueError)         an argument of an operation: its name, what was expected, what came
    ├── BackendError (RuntimeError)     the requested implementation cannot run here: the list of reasons
    ├── DataError (ValueError)          a file, row or folder: which one, what is wrong with it
    ├── CheckpointError (ValueError)    a checkpoint: absent, damaged, or of another run
    ├── NonFiniteError (RuntimeError)   a loss or gradient became NaN or infinite: the step and its studies
    └── RanksError (RuntimeError)       a rank does not answer, has ended, or was started with something else

The command line prints any of them as one line and leaves with status 1.
"""


def one_line(error: BaseException) -> str:
    """The beginning of an error's message, for a message of one line."""
    return " ".join(str(error).split())[:300]


class SimcropError(Exception):
    """Base of every error that is meant to be read by a user."""


class ConfigError(SimcropError, ValueError):
    """A configuration key has a wrong value."""


class InputError(SimcropError, ValueError):
    """An argument of an operation has the wrong shape, type, device or range."""


class BackendError(SimcropError, RuntimeError):
    """The requested implementation of the operations cannot run on this machine."""


class DataError(SimcropError, ValueError):
    """A file, folder or table row cannot be used."""


class CheckpointError(SimcropError, ValueError):
    """A checkpoint is absent, damaged, or belongs to another run."""


class NonFiniteError(SimcropError, RuntimeError):
    """A loss or a gradient is NaN or infinite."""


class RanksError(SimcropError, RuntimeError):
    """The processes of one run cannot go on together."""
