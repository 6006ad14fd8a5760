"""The errors a user may meet, as one tree; each carries its exit code.

    AugmentError          1  failed
    ├── ConfigError       2  the config or the call is wrong
    ├── InputError        3  the input breaks its contract
    ├── GateError         4  a quality gate refused
    ├── PartialError      5  partly done: run again to resume
    ├── RetryLaterError  75  a service did not answer: try again later
    ├── DivergenceError   1  training produced a non-finite loss
    └── IntegrityError    1  stored data is not what its manifest says

A message names the value at fault and what to do. `assert` is for our own invariants only.
"""

__all__ = [
    "AugmentError",
    "ConfigError",
    "DivergenceError",
    "GateError",
    "InputError",
    "IntegrityError",
    "PartialError",
    "RetryLaterError",
]


class AugmentError(Exception):
    """The root: everything we raise on purpose."""

    exit_code = 1


class ConfigError(AugmentError):
    """The config, a flag or their combination is wrong."""

    exit_code = 2


class InputError(AugmentError):
    """The source data breaks its contract."""

    exit_code = 3


class GateError(AugmentError):
    """A quality gate refused what was made."""

    exit_code = 4


class PartialError(AugmentError):
    """Some work is committed, some is not; the same command resumes."""

    exit_code = 5


class RetryLaterError(AugmentError):
    """A store or a cluster did not answer; nothing is lost, try again later."""

    exit_code = 75


class DivergenceError(AugmentError):
    """Training met a non-finite loss and stopped before applying the update."""


class IntegrityError(AugmentError):
    """What is stored differs from what its manifest or digest says."""
