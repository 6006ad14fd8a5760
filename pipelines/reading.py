"""A committed dataset as a Ray Dataset; found by `augment.open_dataset(uri).to_ray()` as an entry point."""

import ray.data

from augment.store.reading import Dataset

__all__ = ["to_ray"]


def to_ray(dataset: Dataset) -> "ray.data.Dataset":
    """Exactly the committed shards of this version, as rows with the columns of the schema."""
    return ray.data.read_parquet(dataset.files)
