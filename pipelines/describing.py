"""The dataset card and its metadata in the store, written anew whenever a version is made."""

from augment.objects import open_store
from augment.report.describing import describe
from augment.store.models import find_generator
from augment.store.reading import open_dataset
from pipelines.presets import chosen_in
from pipelines.reporting import section_of

__all__ = ["describe_newest"]


def describe_newest(uri: str) -> None:
    """Describe the newest version, whichever that is by now, with what was chosen for its newest generator.

    Looks again afterwards: a slow writer would otherwise put the description of an older version over a newer
    one's.
    """
    described = 0
    while (dataset := open_dataset(uri)).version != described:
        generator = dataset.runs[-1].plan.generator_sha256 if dataset.runs else None
        found = find_generator(open_store(uri), generator) if generator is not None else None
        describe(dataset, chosen_in(found.folder) if found is not None else (), section_of(dataset))
        described = dataset.version
