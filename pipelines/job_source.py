"""The source of one command: as it is known from before, as its labels are counted, as its images are decoded.

Owns how long what decoding found is believed: as long as the listing is the same, and what the settings make of it.
So long the pixels of then are taken again too, where they were kept.
Images that were overwritten where no listing shows it (a CSV names them, and its own bytes are the same) are found out
when they are decoded again. Knows no plan, and of models only that one was trained on the images of then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from augment.config import Config
from augment.data.census import Census, refuse_bad, take_census
from augment.data.sources import open_source
from augment.errors import InputError
from augment.store.models import ModelFolder, SourceRecord
from augment.store.pixel_cache import PixelCache
from augment.types import ClassCounts
from pipelines.known_source import decoded_fingerprint, known_source, written_anew
from pipelines.progress import Progress, log

if TYPE_CHECKING:
    from pipelines.cluster import Cluster
    from pipelines.ingest import DecodedImages

__all__ = ["JobSource", "OverwrittenError"]

_NAMED_IN_LOG = 20  # images that were left out


class OverwrittenError(InputError):
    """Images have other pixels than those that the job goes by, under the same names."""


class JobSource:
    """One command's view of its source; what is learned of it is learned once."""

    def __init__(
        self, config: Config, folder: ModelFolder, progress: Progress, cluster: Callable[[], Cluster]
    ) -> None:
        self._config, self._image, self._name = config.source, config.image, config.name
        self._folder, self._progress, self._cluster = folder, progress, cluster
        self._source = open_source(config.source)
        self._census: Census | None = None
        self._decoded: tuple[DecodedImages, SourceRecord] | None = None

    # ---- counted --------------------------------------------------------------------------------------

    def census(self) -> Census:
        """The classes, counted from labels alone, once."""
        if self._census is None:
            with self._progress.stage("census"):
                if self._folder.source() is None:
                    self._source.listing()  # it will be decoded, and wants its rows: one look gives both
                self._census = take_census(self._source, image=self._image)
        return self._census

    def counts(self) -> ClassCounts:
        """Usable images a class: as decoded where the source was decoded before, else as labelled."""
        known = self.known()
        if known is None:
            return self.census().counts
        refuse_bad(known.bad, self._config)
        return known.counts

    @property
    def bad_images(self) -> int:
        """Images that can't be used, as far as is known by now."""
        known = self.known() or (self._decoded[1] if self._decoded else None)
        return len(known.bad if known else self.census().bad)

    # ---- known ----------------------------------------------------------------------------------------

    def known(self) -> SourceRecord | None:
        """What decoding found, as long as names, sizes, labels and etags are those of then."""
        return known_source(self._config, self._image, self._folder, self.census())

    def fingerprint(self) -> str:
        """Of the source's listing and of everything that decides what decoding gives."""
        return decoded_fingerprint(self._config, self._image, self.census())

    def record(self) -> SourceRecord:
        """What decoding found; InputError where the source has changed since."""
        known, record = self.known(), self._folder.source()
        if known is None and record is not None and record.fingerprint == self.fingerprint():
            raise InputError(
                f"files of {written_anew(record, self.census())[0]} were written anew since model `{self._name}` was "
                "trained, with the same names and sizes; run `augment train` again: it decodes them, and keeps the "
                "model if their pixels are the same"
            )
        if known is None:
            raise InputError(
                f"{self._config.where} has changed since model `{self._name}` was trained; "
                "set `name` to something new and train again"
            )
        return known

    # ---- decoded --------------------------------------------------------------------------------------

    def decoded(self) -> tuple[DecodedImages, SourceRecord]:
        """Every image, and what decoding found, once; nothing is stored yet. Starts the cluster."""
        if self._decoded is None:
            self.check_writable()
            self._cluster()
            self._decoded = self._decode()
        return self._decoded

    def _decode(self) -> tuple[DecodedImages, SourceRecord]:
        images = self._images()
        for image in images.bad[:_NAMED_IN_LOG]:
            log.warning("skipped %s: %s", image.name, image.reason)
        record = SourceRecord(
            fingerprint=self.fingerprint(),
            counts=images.counts,
            bad=images.bad,
            decoded_sha256=images.sha256,
            etags=self.census().etags,
        )
        return images, record

    def _images(self) -> DecodedImages:
        """From the cache where they lie there; else decoded, and put there."""
        from pipelines.ingest import ingest
        from pipelines.kept_pixels import keep_images, kept_images

        cache = self._cache()
        if cache is None:
            return ingest(self._source, self._config, self._image, self._progress)
        bad = self.census().bad
        kept = kept_images(cache, bad, self._config, self._progress)
        if kept is not None:
            return kept
        images = ingest(self._source, self._config, self._image, self._progress)
        keep_images(
            cache, images, self._image, bad, self._progress,
            most_gb=self._config.cache_gb, as_listed=self._is_as_counted,
        )  # fmt: skip
        return images

    def _cache(self) -> PixelCache | None:
        """Where decoded images of this very source lie; None where they are not to be kept, or can't be known again."""
        if not self._config.cache_gb:
            return None
        if not self._source.shows_overwrites:
            log.info(
                "decode: images that a CSV or JSONL names are not kept: nothing shows when one was overwritten"
            )
            return None
        from pipelines.kept_pixels import cache_key

        etags = self.census().etags
        return PixelCache(self._folder.store, cache_key(self.fingerprint(), self._config.uris, etags))

    def _is_as_counted(self) -> bool:
        """Whether a listing made now is that of the census."""
        counted, now = self.census(), open_source(self._config).counts()
        return (now.fingerprint, dict(now.etags)) == (counted.fingerprint, counted.etags)

    def images_of(self, record: SourceRecord) -> Callable[[], DecodedImages]:
        """The images that `record` tells of, decoded when asked for; OverwrittenError where these are others."""

        def images() -> DecodedImages:
            decoded, found = self.decoded()
            if found.decoded_sha256 != record.decoded_sha256:
                raise OverwrittenError(
                    f"images of {self._config.where} were overwritten under the same names, and model "
                    f"`{self._name}` was trained on those of before; put these back, or set `name` to something "
                    "new and train again"
                )
            return decoded

        return images

    def believe_decoded(self) -> SourceRecord:
        """From here on the source is what was decoded by this command, whatever it was before."""
        _, record = self.decoded()
        self._folder.put_source(record)
        return record

    def check_writable(self) -> None:
        """Find out now, not after an hour, that nothing can be stored."""
        key = f"{self._folder.root}/writable"
        self._folder.store.put(key, b"")
        self._folder.store.delete(key)
