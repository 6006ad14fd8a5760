"""Decoded images read from the output's cache into the object store, and kept there once they were decoded.

Owns what a cache's key is a digest of, and the rule that a cache spares time and decides nothing: what is read are the
very images that decoding would give, with everything that was found; what fails with it is logged, and the images are
decoded. How images are kept is augment.store.pixel_cache's.
"""

from collections.abc import Callable, Mapping, Sequence

import ray
from pydantic import ValidationError

from augment.data.census import refuse_bad
from augment.data.config import ImageConfig, SourceConfig
from augment.data.duplicates import DuplicateReport
from augment.data.images import decoder_version
from augment.errors import AugmentError, IntegrityError
from augment.store.pixel_cache import CacheIndex, PixelCache, put_images, read_images
from augment.types import BadImage, ClassCounts, Record, canonical_json, sha256_hex
from pipelines.cluster import ray_errors
from pipelines.duplicates import tell_duplicates
from pipelines.ingest import DecodedImages
from pipelines.progress import Progress, log

__all__ = ["cache_key", "keep_images", "kept_images"]

_FORM = 1  # counts the changes of what is kept

_read = ray.remote(num_cpus=1, num_returns=3)(read_images)
_put = ray.remote(num_cpus=1)(put_images)


class _Found(Record):
    """What decoding found besides pixels."""

    counts: ClassCounts
    bad: tuple[BadImage, ...]  # that no listing shows: undecodable, or left out by source.duplicates
    sha256: str
    duplicates: DuplicateReport | None


def cache_key(fingerprint: str, uris: Sequence[str], etags: Mapping[str, str]) -> str:
    """64 hex digits of all that decides a source's decoded images.

    `fingerprint` is of the listing and of the settings; `etags`, by URI, of what was written when; the rest is what
    decodes.
    """
    return sha256_hex(canonical_json([_FORM, fingerprint, list(uris), dict(etags), decoder_version()]))


def kept_images(
    cache: PixelCache, listed_bad: tuple[BadImage, ...], config: SourceConfig, progress: Progress
) -> DecodedImages | None:
    """The images that lie in `cache`, as `ingest` gave them; None where there are none, or they are damaged.

    `listed_bad` is what the listing shows now. Raises InputError as `ingest` does, for `source.on_bad=fail`.
    """
    try:
        index = cache.index()
        found = None if index is None else _found_in(index, cache)
    except AugmentError as error:
        return _none_for(error)
    if index is None or found is None:
        return None
    bad = (*listed_bad, *found.bad)
    refuse_bad(bad, config)
    try:
        pixels, class_index, names = _opened(cache, index, progress)
        cache.mark_used()
    except AugmentError as error:
        return _none_for(error)
    if found.duplicates is not None:
        tell_duplicates(found.duplicates)
    return DecodedImages(pixels, class_index, found.counts, bad, found.sha256, names, found.duplicates)


def _none_for(error: AugmentError) -> None:
    log.warning("decode: %s; the images are decoded again, and the cache is written anew", error)


def _opened(cache: PixelCache, index: CacheIndex, progress: Progress) -> tuple[ray.ObjectRef, ...]:
    """Pixels, class indices and published names in the object store."""
    with progress.stage("decode", total=index.images, unit="images") as stage:
        with ray_errors("reading decoded images"):
            pixels, class_index, names = _read.remote(cache, index)
            ray.get(class_index)  # small, and raises what reading raised
        stage.advance_to(index.images)
    log.info("decode: %s images as they were decoded before, from %s", f"{index.images:,}", cache.uri)
    return pixels, class_index, names


def _found_in(index: CacheIndex, cache: PixelCache) -> _Found:
    try:
        return _Found.model_validate_json(index.found)
    except ValidationError as error:
        raise IntegrityError(
            f"what {cache.uri} says was found is none that this release reads: {error}"
        ) from error


def keep_images(
    cache: PixelCache,
    images: DecodedImages,
    image: ImageConfig,
    listed_bad: tuple[BadImage, ...],
    progress: Progress,
    *,
    most_gb: float,
    as_listed: Callable[[], bool],
) -> None:
    """Put decoded images into `cache`, if they take at most `most_gb` (10^9 bytes); what hinders that is logged.

    `as_listed` looks whether the source is still what the cache's key says: what was decoded while files were being
    written belongs to no key.
    """
    gigabytes = images.counts.total * image.size**2 * image.channels / 1e9
    if gigabytes > most_gb:
        log.info(
            "decode: %.1f GB of pixels are above source.cache_gb=%g: the next run decodes them again",
            gigabytes,
            most_gb,
        )
        return
    listed, others = images.bad[: len(listed_bad)], images.bad[len(listed_bad) :]
    found = _Found(counts=images.counts, bad=others, sha256=images.sha256, duplicates=images.duplicates)
    try:
        with progress.stage("decode"), ray_errors("keeping decoded images"):
            text = found.to_json().decode()
            index = _put.remote(cache, images.pixels, images.class_index, images.names, text)
            unchanged = listed == listed_bad and as_listed()  # meanwhile: nothing is kept before the index is
            if unchanged:
                cache.commit(ray.get(index))
                return
            ray.get(index)
            cache.discard()
    except AugmentError as error:
        log.warning("decode: the pixels are not kept, and the next run decodes them again: %s", error)
        return
    log.warning("decode: the source was written to meanwhile: its decoded pixels are not kept")
