"""Code of ours that misbehaves in Ray's workers, where no monkeypatch of this process reaches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest
from ray.cloudpickle.cloudpickle import (
    list_registry_pickle_by_value,
    register_pickle_by_value,
    unregister_pickle_by_value,
)


@contextmanager
def injected(module: ModuleType, **replacements: object) -> Iterator[None]:
    """`module` with these names replaced, here and in whatever is sent to workers while the body runs.

    Its functions travel by value then, with what they use of the module; a replacement has to be a function of a test.
    """
    homes = {replacement.__module__ for replacement in replacements.values()}
    modules = [module, *(__import__(home, fromlist=["*"]) for home in sorted(homes))]
    by_value = [one for one in modules if one.__name__ not in list_registry_pickle_by_value()]
    with pytest.MonkeyPatch.context() as patch:
        for name, replacement in replacements.items():
            patch.setattr(module, name, replacement)
        for one in by_value:
            register_pickle_by_value(one)
        try:
            yield
        finally:
            for one in by_value:
                unregister_pickle_by_value(one)
