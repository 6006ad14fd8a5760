"""Balance the rare classes of an image data set: the library behind the `augment` command.

    import augment
    dataset = augment.open_dataset("s3://bucket/balanced")
    mix = augment.open_balanced("s3://bucket/images", dataset, ratio=1.0)

Names are resolved when asked for, so importing the package costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from augment.mixing.balanced import open_balanced
    from augment.store.reading import open_dataset

    __version__: str

__all__ = ["__version__", "open_balanced", "open_dataset"]


def __getattr__(name: str) -> Any:
    if name == "open_dataset":
        from augment.store.reading import open_dataset

        return open_dataset
    if name == "open_balanced":
        from augment.mixing.balanced import open_balanced

        return open_balanced
    if name == "__version__":
        from importlib.metadata import version

        return version("ray-augment")
    raise AttributeError(f"module 'augment' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
