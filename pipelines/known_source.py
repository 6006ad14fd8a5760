"""What a run's decoding found of a source, for a command that opens no image itself.

Owns when that is believed: as long as names, sizes, labels and etags are those of then, and every setting that decides
what decoding gives. It is what pipelines.job_source goes by in a run. Imports neither torch nor Ray, so that `augment
plan` can ask.
"""

from augment.config import Config
from augment.data.census import Census, refuse_bad
from augment.data.config import ImageConfig, SourceConfig
from augment.store.models import ModelFolder, SourceRecord
from augment.types import canonical_json, sha256_hex

__all__ = ["as_decoded", "decoded_fingerprint", "known_source", "written_anew"]


def decoded_fingerprint(source: SourceConfig, image: ImageConfig, census: Census) -> str:
    """64 hex digits: of the source's listing, and of everything that decides what decoding gives."""
    reading = source.model_dump(mode="json", exclude={"uri", "on_bad", "cache_gb"})
    return sha256_hex(canonical_json([census.fingerprint, reading, image.model_dump(mode="json")]))


def known_source(
    source: SourceConfig, image: ImageConfig, folder: ModelFolder, census: Census
) -> SourceRecord | None:
    """What decoding found, if the source and its settings are those of then; None where it was not decoded since."""
    record = folder.source()
    if record is None or record.fingerprint != decoded_fingerprint(source, image, census):
        return None
    return None if written_anew(record, census) else record


def written_anew(record: SourceRecord, census: Census) -> list[str]:
    """URIs where a file was written since, though names and sizes are the same; decoding tells if it matters."""
    return [uri for uri, etag in record.etags.items() if census.etags.get(uri, etag) != etag]


def as_decoded(config: Config, folder: ModelFolder, census: Census) -> Census:
    """The census with the counts and the bad images that decoding found; as it is where nothing is known.

    Raises InputError, as a run would, where some are bad and source.on_bad is `fail`.
    """
    record = known_source(config.source, config.image, folder, census)
    if record is None:
        return census
    refuse_bad(record.bad, config.source)
    return census.model_copy(update={"counts": record.counts, "bad": record.bad})
