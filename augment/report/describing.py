"""The files that describe a dataset to people and tools: croissant.json and README.md.

Owns which there are and that the card, by which a reader finds the data, is written last. Static copies are
made here too, since a copy is whole only with what describes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from augment.errors import ConfigError
from augment.gan.presets import ChosenField
from augment.objects import open_store
from augment.report.card import data_files, dataset_card, export_card
from augment.report.croissant import DataFiles, croissant
from augment.store.layouts import LAYOUTS
from augment.store.layouts.contract import ExportedFile, FileBytes
from augment.store.layouts.exporting import MOST_DESCRIBED, Exported, export_data
from augment.store.reading import Dataset

__all__ = ["CARD_KEY", "CROISSANT_KEY", "describe", "export"]

CROISSANT_KEY = "croissant.json"
CARD_KEY = "README.md"


def describe(dataset: Dataset, chosen: Sequence[ChosenField] = (), section: str = "") -> None:
    """Write croissant.json and README.md into a dataset's own root, for the version that `dataset` is.

    `chosen` are the settings that the preset chose for the newest run's generator, `section` the report's for the
    card.
    """
    listed = [ExportedFile(shard.key, shard.size_bytes, shard.sha256) for shard in dataset.shards]
    files = DataFiles(
        records="parquet",
        patterns=tuple(data_files(dataset)),
        listed=listed if len(listed) <= MOST_DESCRIBED else None,
    )
    dataset.store.put(CROISSANT_KEY, croissant(dataset, files).encode())
    dataset.store.put(CARD_KEY, dataset_card(dataset, chosen, section).encode())


def export(
    dataset: Dataset, target_uri: str, layout: str, progress: Callable[[int], None] = lambda rows: None
) -> Exported:
    """A static copy of `dataset` at `target_uri`, in one of LAYOUTS; `progress(rows)` is called as it goes
    on.

    A copy that was killed is finished by the same call. Raises ConfigError for an unknown layout or a target
    that holds anything else, IntegrityError if stored bytes are not what their digests say.
    """
    if layout not in LAYOUTS:
        raise ConfigError(f"--layout={layout} is not one of {', '.join(LAYOUTS)}")
    chosen = LAYOUTS[layout]

    def metadata(listed: Sequence[ExportedFile] | None) -> Iterable[FileBytes]:
        files = DataFiles(records=chosen.records, patterns=(chosen.data_files,), listed=listed)
        yield FileBytes(CROISSANT_KEY, croissant(dataset, files).encode())
        yield FileBytes(CARD_KEY, export_card(dataset, chosen).encode())

    return export_data(dataset, open_store(target_uri), chosen, metadata, progress)
