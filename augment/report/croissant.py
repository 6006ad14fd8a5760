"""Croissant metadata: what lies in a dataset, where it comes from and how its records are read, for machines.

Owns the text of croissant.json, by the Croissant 1.1 format (https://docs.mlcommons.org/croissant/docs) with
W3C PROV terms for its origin and IPTC's digital source type. Names no place and no time: the same version
gives the same file. What only the owner knows, a licence or a web page, is not made up; add it before
publishing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from augment.report.origins import made_by, recipe_tags, source_types
from augment.store.layouts.contract import ExportedFile, Records
from augment.store.reading import CommittedRun, Dataset
from augment.store.shards import shard_schema

__all__ = ["DataFiles", "croissant"]

_DATA_FILES = "data-files"
_IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_MEDIA_TYPES = {
    ".parquet": "application/x-parquet",  # what mlcroissant knows Parquet by
    ".tar": "application/x-tar",
    ".png": "image/png",
    ".webp": "image/webp",
}
_TERMS = (
    "annotation", "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "excludes", "extract",
    "field", "fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath",
    "key", "md5", "parentField", "path", "readLines", "recordSet", "references", "regex", "repeated", "replace",
    "samplingRate", "sdVersion", "separator", "source", "subField", "transform", "unArchive", "value",
)  # fmt: skip
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
} | {term: f"cr:{term}" for term in _TERMS}


@dataclass(frozen=True)
class DataFiles:
    """The files that hold the images, below the folder in which croissant.json lies."""

    records: Records
    patterns: tuple[str, ...]  # names or globs, which together match these files and no others
    listed: Sequence[ExportedFile] | None  # with sizes and digests; None where they are too many for that


def croissant(dataset: Dataset, files: DataFiles) -> str:
    """croissant.json for a dataset version whose data lie in `files`."""
    document = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": "synthetic-images-for-rare-classes",
        "description": (
            f"{dataset.rows} images that fill up the rare classes of a labelled image data set: "
            f"{made_by(dataset)}."
        ),
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "version": f"{dataset.version}.0.0",
        "keywords": ["synthetic", "class imbalance", "data augmentation", *recipe_tags(dataset)],
        "digitalSourceType": [_IPTC + term for term in source_types(dataset)],
        "prov:wasDerivedFrom": [_source(run) for run in dataset.runs],
        "prov:wasGeneratedBy": [_activity(run) for run in dataset.runs],
        "distribution": [*_file_objects(files), *_file_sets(dataset, files)],
        "recordSet": [*_images(dataset, files), _classes(dataset)],
    }
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


# ---- where it comes from ----------------------------------------------------------------------------------


def _source(run: CommittedRun) -> dict[str, Any]:
    """The labelled images, by their fingerprint where the run recorded it."""
    plan = run.plan.plan
    images = sum(target.real for target in plan.classes)
    entity: dict[str, Any] = {
        "@type": "prov:Entity",
        "prov:label": f"{images} labelled images of {len(plan.classes)} classes",
    }
    return entity if run.plan.source_fingerprint is None else {
        "@id": f"urn:sha256:{run.plan.source_fingerprint}"
    } | entity  # fmt: skip


def _activity(run: CommittedRun) -> dict[str, Any]:
    version = run.plan.versions.get("ray-augment", "")
    return {
        "@type": "prov:Activity",
        "@id": f"urn:augment:run:{run.plan.run_id}",
        "prov:label": f"generation with the seed {run.plan.plan.seed}",
        "prov:used": _used(run),
        "prov:wasAssociatedWith": {
            "@type": "prov:SoftwareAgent",
            "prov:label": f"ray-augment {version}".strip(),
        },
    }


def _used(run: CommittedRun) -> list[dict[str, Any]]:
    """What samples were made from: the generator's weights, the decoded real images, or both."""
    digests = {
        "the generator's weights": run.plan.generator_sha256,
        "the real images, decoded": run.plan.source_sha256,
    }
    return [
        {"@id": f"urn:sha256:{sha256}", "@type": "prov:Entity", "prov:label": what}
        for what, sha256 in digests.items()
        if sha256 is not None
    ]


# ---- files ------------------------------------------------------------------------------------------------


def _file_objects(files: DataFiles) -> Iterable[dict[str, Any]]:
    for file in files.listed or ():
        yield {
            "@type": "cr:FileObject",
            "@id": file.key,
            "name": PurePosixPath(file.key).name,
            "contentUrl": file.key,
            "contentSize": f"{file.size_bytes} B",
            "encodingFormat": _MEDIA_TYPES[PurePosixPath(file.key).suffix],
            "sha256": file.sha256,
        }


def _file_sets(dataset: Dataset, files: DataFiles) -> Iterable[dict[str, Any]]:
    """What records are read from: the data files, or the members of tars."""
    suffixes = sorted({f".{run.plan.image_format}" for run in dataset.runs})
    contents: dict[str, Any] = {"includes": list(files.patterns)}
    formats = suffixes
    if files.records == "parquet":
        formats = [".parquet"]
    elif files.records == "tars" and files.listed is None:
        formats = [".tar"]
    elif files.records == "tars":
        tars = [{"@id": file.key} for file in files.listed or ()]
        contents = {"containedIn": tars, "includes": [f"*{suffix}" for suffix in suffixes]}
    yield {
        "@type": "cr:FileSet",
        "@id": _DATA_FILES,
        "name": "data files",
        "encodingFormat": [_MEDIA_TYPES[suffix] for suffix in formats],
    } | contents


# ---- records ----------------------------------------------------------------------------------------------


def _images(dataset: Dataset, files: DataFiles) -> Iterable[dict[str, Any]]:
    """One record an image; none for tars that are too many to say what is in them."""
    if files.records == "tars" and files.listed is None:
        return
    if files.records == "parquet":
        fields = [_column(name, kind) for name, kind in _columns(dataset)]
    else:
        fields = [
            _field("image", "sc:ImageObject", {"fileProperty": "content"}),
            _field("sample_id", "sc:Text", {"fileProperty": "filename"}, regex=r"(.*)\.\w+"),
        ]
    if files.records == "images":
        fields.append(
            _field("label", "sc:Integer", {"fileProperty": "fullpath"}, regex=r"(?:.*/)?(-?\d+)[^/]*/")
        )
    yield {"@type": "cr:RecordSet", "@id": "images", "name": "images", "field": fields}


def _columns(dataset: Dataset) -> list[tuple[str, str]]:
    """Columns of the shards and their types; of a version without a run, none."""
    kinds = {"string": "sc:Text", "int64": "sc:Integer", "int32": "sc:Integer", "bool": "sc:Boolean"}
    schema = shard_schema(dataset.runs[-1].plan) if dataset.runs else ()
    return [
        (
            field.name,
            "sc:Text" if pa.types.is_list(field.type) else kinds.get(str(field.type), "sc:ImageObject"),
        )
        for field in schema
    ]


def _column(name: str, kind: str) -> dict[str, Any]:
    return _field(name, kind, {"column": name}, json_path="bytes" if kind == "sc:ImageObject" else None)


def _field(
    name: str, kind: str, extract: dict[str, str], *, regex: str | None = None, json_path: str | None = None
) -> dict[str, Any]:
    source: dict[str, Any] = {"fileSet": {"@id": _DATA_FILES}, "extract": extract}
    if regex is not None:
        source["transform"] = {"regex": regex}
    if json_path is not None:
        source["transform"] = {"jsonPath": json_path}
    data_type: str | list[str] = [kind, "cr:Label"] if name == "label" else kind
    array = {"isArray": True, "arrayShape": "-1"} if name == "source_images" else {}
    return {
        "@type": "cr:Field",
        "@id": f"images/{name}",
        "name": name,
        "dataType": data_type,
        "source": source,
    } | array


def _classes(dataset: Dataset) -> dict[str, Any]:
    """The label of every class, with its name as the source gave it."""
    kinds = {"label": "sc:Integer", "name": "sc:Text"}
    return {
        "@type": "cr:RecordSet",
        "@id": "classes",
        "name": "classes",
        "dataType": "sc:Enumeration",
        "key": {"@id": "classes/label"},
        "field": [
            {"@type": "cr:Field", "@id": f"classes/{name}", "name": name, "dataType": kind}
            for name, kind in kinds.items()
        ],
        "data": [
            {"classes/label": label, "classes/name": name} for label, name in dataset.class_names.items()
        ],
    }
