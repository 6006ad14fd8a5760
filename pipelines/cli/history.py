"""Verbs about a dataset's past: its versions, what may no longer be used of them, and where a sample is from."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from augment.errors import ConfigError
from pipelines.cli.shared import (
    AsJson,
    DatasetUri,
    Mode,
    Quiet,
    Version,
    load,
    print_json,
    progress_of,
    standard_output,
)

if TYPE_CHECKING:
    from augment.objects import ObjectStore
    from augment.store.revoke import Revoked
    from pipelines.explain import Explanation

__all__ = ["diff", "explain", "log", "revoke"]

Last = Annotated[int | None, typer.Option("--last", min=1, help="Only the newest so many versions.")]
First = Annotated[int, typer.Argument(metavar="V1", min=1, help="A version.")]
Second = Annotated[int, typer.Argument(metavar="V2", min=1, help="The version to compare it with.")]
Model = Annotated[str | None, typer.Option(help="All runs of this generator: its digest, 8 digits or more.")]
Run = Annotated[str | None, typer.Option(help="This run: its id, 8 digits or more.")]
ClassNames = Annotated[
    list[str] | None,
    typer.Option("--class", help="This class, in every run there is by now; may be repeated."),
]
Why = Annotated[str, typer.Option(help="The reason; the log shows it for as long as the dataset lives.")]
SampleId = Annotated[str, typer.Argument(metavar="SAMPLE_ID", help="As in the column sample_id.")]
OfSource = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="The run's config: say where its source holds the images that the sample is of.",
    ),
]
ImagePath = Annotated[Path | None, typer.Option("--image", help="Write the stored sample there, as PNG.")]


def log(
    uri: DatasetUri, last: Last = None, as_json: AsJson = False, quiet: Quiet = False, progress: Mode = "auto"
) -> None:
    """Say what each version added, replaced or revoked, from which plan, model and source; newest first."""
    from itertools import islice

    from augment.report.history_tables import log_table, utc
    from augment.store.history import version_log

    progress_of(progress, quiet)
    store, version = _opened(uri)
    entries = list(islice(version_log(store, version), last))
    if as_json:
        versions = [entry.model_dump(mode="json") | {"time_utc": utc(entry.modified_s)} for entry in entries]
        print_json({"uri": store.uri, "versions": versions})
    else:
        standard_output().print(log_table(entries))


def diff(
    uri: DatasetUri, first: First, second: Second, as_json: AsJson = False, quiet: Quiet = False,
    progress: Mode = "auto",
) -> None:  # fmt: skip
    """Say how two versions differ: rows that came and left, class by class, and the runs behind them."""
    from augment.report.history_tables import comparison_table
    from augment.store.history import compare_versions

    progress_of(progress, quiet)
    store, version = _opened(uri)
    if version is not None:
        raise ConfigError(f"{uri} names a version, and the two to compare follow; leave @{version} out")
    comparison = compare_versions(store, first, second)
    if as_json:
        classes = [each.model_dump(mode="json") | {"after": each.after} for each in comparison.classes]
        print_json(comparison.model_dump(mode="json") | {"uri": store.uri, "classes": classes})
    else:
        standard_output().print(comparison_table(comparison))


def revoke(
    uri: DatasetUri,
    why: Why,
    model: Model = None,
    run: Run = None,
    class_: ClassNames = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: Mode = "auto",
) -> None:
    """Make a version without the rows of a model, a run or classes; nothing is deleted, and the log says why."""
    from pipelines.describing import describe_newest

    store, version = _opened(uri)
    if version is not None:
        raise ConfigError(f"a revocation makes a version after the newest; leave @{version} out of {uri}")
    with progress_of(progress, quiet).stage("revoke"):
        done = _revoked(store, why, model, run, class_ or [])
        describe_newest(store.uri)  # also where it was revoked before: that may have been killed here
    if as_json:
        print_json(
            {
                "uri": store.uri,
                "version": done.snapshot.version,
                "made": done.made,
                "rows_revoked": done.rows,
                "rows": done.snapshot.rows,
                "revocations": [each.model_dump(mode="json") for each in done.revocations],
            }
        )
    elif done.made:
        typer.echo(
            f"version {done.snapshot.version}: {done.rows} rows revoked, {done.snapshot.rows} are left"
        )
    else:
        versions = _ranges(tuple(sorted({made.version for made in done.revocations})))
        typer.echo(f"revoked already, by version {versions}; the newest is {done.snapshot.version}")


def explain(
    uri: DatasetUri,
    sample_id: SampleId,
    version: Version = None,
    image: ImagePath = None,
    config: OfSource = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: Mode = "auto",
) -> None:
    """Say where a sample comes from, make it again from the stored model, and compare the pixels."""
    from pipelines.explain import explain as explain_sample
    from pipelines.explain import find_source_images

    places: dict[str, str] = {}
    with progress_of(progress, quiet).stage("explain"):
        explained = explain_sample(uri, sample_id, version)
        if config is not None:
            places = find_source_images(load(config, None).source, explained.provenance.source_images)
    if image is not None:
        _write_image(image, explained)
    if as_json:
        document = explained.provenance.model_dump(mode="json")
        remake = explained.remake.model_dump(mode="json")
        print_json(document | {"source_images_at": places, "remake": remake})
    else:
        _print_explanation(explained, places)


def _opened(uri: str) -> "tuple[ObjectStore, int | None]":
    from augment.objects import open_store
    from augment.store.reading import split_version

    place, version = split_version(uri)
    return open_store(place), version


def _revoked(
    store: "ObjectStore", why: str, model: str | None, run: str | None, names: list[str]
) -> "Revoked":
    from augment.store.revoke import revoke_classes, revoke_model, revoke_run

    if (model is not None) + (run is not None) + bool(names) != 1:
        raise ConfigError("say what to revoke by exactly one of --model DIGEST, --run ID and --class NAME")
    if model is not None:
        return revoke_model(store, model, why)
    if run is not None:
        return revoke_run(store, run, why)
    return revoke_classes(store, names, why)


def _write_image(path: Path, explained: "Explanation") -> None:
    from pipelines.explain import png_of

    if explained.stored_HWC is None:
        raise ConfigError(f"--image={path}: the sample's shard is gone, so there is no picture to write")
    try:
        path.write_bytes(png_of(explained.stored_HWC))
    except OSError as error:
        raise ConfigError(f"--image={path} can't be written: {error.strerror}") from error


def _print_explanation(explained: "Explanation", places: dict[str, str]) -> None:
    """`places` say where real images lie, by the names that the sample has for them."""
    from augment.report.history_tables import fields_grid

    said, remake = explained.provenance, explained.remake
    made_by_a_model = said.recipe == "gan" and said.generator_sha256 is not None
    revoked = [f"by version {made.version}: {made.why}" for made in said.revoked]
    outcome = {
        "equal": "equal, made again on this CPU",
        "different": f"made again, {remake.differing_values} values differ, by {remake.largest_difference} of 255 at most",
        "not made": f"not made again: {remake.why}",
    }[remake.outcome]
    fields = [
        ("Sample", said.sample_id),
        ("Class", f"{said.label_name!r}, label {said.label}, sample {said.sample_index} of it"),
        ("Run", said.run_id),
        ("Plan", f"{said.plan_id}, seed {said.seed}"),
        ("Versions", _ranges(said.versions)),
        *(("Revoked", line) for line in revoked),
        ("Recipe", f"{said.recipe}, candidate {said.attempt + 1}"),
        *(("Made from", name) for name in said.source_images),
        *(("Lies at", places[name]) for name in said.source_images if name in places),
        *(
            (("Model", said.generator_sha256), ("", said.model or "not in this dataset any more"))
            if made_by_a_model
            else ()
        ),
        ("Shard", f"{said.shard}, row {said.row}"),
        ("Source", said.source_fingerprint or "not recorded"),
        ("Augmentation", "none" if said.augmentation is None else str(said.augmentation)),
        ("Libraries", ", ".join(f"{name} {number}" for name, number in sorted(said.libraries.items()))),
        ("Pixels", outcome),
    ]
    standard_output().print(fields_grid(fields))


def _ranges(versions: tuple[int, ...]) -> str:
    """`1 to 3, 6`: versions, ascending, where not all follow each other."""
    parts: list[list[int]] = []
    for version in versions:
        if parts and version == parts[-1][-1] + 1:
            parts[-1].append(version)
        else:
            parts.append([version])
    return ", ".join(f"{part[0]} to {part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)
