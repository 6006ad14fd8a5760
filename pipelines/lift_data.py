"""The held-out real images of `augment lift`: found in the source or named by the config, decoded, cut.

Owns where they come from. Training images are never among them: the generator has seen those. The cuts themselves
are augment.lift.held_out's.

N = images.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import ray

from augment.config import Config
from augment.data.config import DuplicatesConfig, SourceConfig, SplitConfig
from augment.data.listing import Source
from augment.data.sources import open_held_out, open_source
from augment.errors import ConfigError, InputError
from augment.lift.held_out import apart_from, choosing_share, refuse_too_few, rows_of
from augment.lift.images import LabelledImages
from augment.types import ClassInfo
from pipelines.cluster import ray_errors
from pipelines.ingest import DecodedImages, ingest
from pipelines.progress import Progress, log

__all__ = ["HeldOutImages", "HeldOutSources", "find_held_out", "held_out_images", "labelled"]

_OFF = DuplicatesConfig(across_splits="off", across_labels="off", exact="off", near="off")


@dataclass(frozen=True)
class HeldOutSources:
    """Where the images to report on lie, and those to choose by; None: a share of the former."""

    test: Source
    validation: Source | None


@dataclass(frozen=True)
class HeldOutImages:
    """Decoded and apart from each other and from training images."""

    validation: LabelledImages
    test: LabelledImages
    asked_sha256: str  # of the images to report on before any were set aside to choose by
    left_out: int  # that are training images too, or on two sides


def find_held_out(config: Config) -> HeldOutSources:
    """The sources, before anything is decoded: what the config names, else the source's own splits.

    Raises ConfigError where there is no labelled held-out image, saying what to add.
    """
    splits = {
        name: source
        for name, source in open_held_out(_apart(config.source)).items()
        if (source.listing().labels_B >= 0).any()
    }
    validation, test = splits.get("validation"), splits.get("test")
    if config.lift.validation_uri is not None:
        validation = _at(config.source, config.lift.validation_uri)
    if config.lift.test_uri is not None:
        test = _at(config.source, config.lift.test_uri)
    if test is not None:
        return HeldOutSources(test, validation)
    if validation is not None:
        return HeldOutSources(validation, None)
    raise ConfigError(
        f"`augment lift` judges by labelled real images that the generator has never seen, and {config.source.where} "
        "holds none out; mark a split `test` there (see source.split) and train on the rest, or set lift.test_uri to "
        "such images"
    )


def held_out_images(
    config: Config,
    sources: HeldOutSources,
    training: LabelledImages,
    classes: tuple[ClassInfo, ...],
    progress: Progress,
) -> HeldOutImages:
    """Both parts, decoded; images that are in training too are left out, with a warning.

    Raises InputError where a class has too few held-out images left on either side: before anything is made of them.
    """
    found = _decoded(config, sources.test, classes, progress)
    test = apart_from(found, training)
    left_out = len(found.class_index_N) - len(test.class_index_N)
    asked_sha256, names = test.sha256, tuple(info.name for info in classes)
    if sources.validation is None:
        validation, test = choosing_share(test, config.lift.validation_share, names)
    else:
        every = _decoded(config, sources.validation, classes, progress)
        validation = apart_from(every, training, test)
        left_out += len(every.class_index_N) - len(validation.class_index_N)
    if left_out:
        log.warning(
            "lift: %d held-out image(s) are training images too, or in test and validation: they are left out",
            left_out,
        )
    chosen_by = sources.validation or sources.test
    refuse_too_few(validation, names, f"the held-out images to choose by, of {chosen_by.config.where}")
    refuse_too_few(test, names, f"the held-out images to report on, of {sources.test.config.where}")
    return HeldOutImages(validation, test, asked_sha256, left_out)


def labelled(images: DecodedImages) -> LabelledImages:
    """The decoded images as arrays of this process, which share the object store's memory."""
    with ray_errors("reading decoded images"):
        pixels_NHWC, class_index_N = ray.get([images.pixels, images.class_index])
    return LabelledImages(pixels_NHWC, class_index_N)


def _apart(source: SourceConfig) -> SourceConfig:
    """The same source; what is there twice is our own question here."""
    return source.model_copy(update={"duplicates": _OFF})


def _at(source: SourceConfig, uri: str) -> Source:
    """Images elsewhere, all of them held out, laid out and labelled as the source's are."""
    return open_source(_apart(source).model_copy(update={"uri": uri, "split": SplitConfig(by="none")}))


def _decoded(
    config: Config, source: Source, classes: tuple[ClassInfo, ...], progress: Progress
) -> LabelledImages:
    """Images of the classes that are trained on, with their indices there; others are left out and named."""
    images = labelled(ingest(source, source.config, config.image, progress))
    index_of = {info.name: index for index, info in enumerate(classes)}
    theirs = source.listing().classes
    if unknown := [info.name for info in theirs if info.name not in index_of]:
        log.warning(
            "lift: %s holds classes that are not trained on, which are left out: %s",
            source.config.where, ", ".join(unknown[:10]),
        )  # fmt: skip
    ours_K: npt.NDArray[np.int64] = np.array(
        [index_of.get(info.name, -1) for info in theirs] + [-1], np.int64
    )
    class_index_N = ours_K[images.class_index_N]  # an unlabelled image's -1 picks the last entry
    known = rows_of(LabelledImages(images.pixels_NHWC, class_index_N), class_index_N >= 0)
    counts_K = known.counts(len(classes))
    if empty := [info.name for info, count in zip(classes, counts_K.tolist(), strict=True) if not count]:
        named = ", ".join(repr(name) for name in empty[:10]) + (", …" if len(empty) > 10 else "")
        raise InputError(
            f"{source.config.where} has no held-out image of class {named}: its recall cannot be told; add some, or "
            "leave the class out by source.labels"
        )
    return known
