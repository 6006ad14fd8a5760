"""The package's public face."""

from __future__ import annotations

from importlib.metadata import version

import pytest

import augment


def test_public_names_are_these() -> None:
    assert sorted(augment.__all__) == ["__version__", "open_balanced", "open_dataset"]
    assert set(augment.__all__) <= set(dir(augment))


def test_the_version_is_the_distributions() -> None:
    assert augment.__version__ == version("ray-augment")


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        augment.nothing  # noqa: B018
