"""Whatever a config file or a flag says: a config comes out, or a ConfigError, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.config import Config, config_to_json, load_config
from augment.config_fields import fields_of
from augment.config_reference import config_template
from augment.errors import ConfigError
from augment.strict_yaml import parse
from tests.fuzzing import mutated_bytes, mutated_json

FIELDS = [field.name for field in fields_of(Config)]
KEYS = st.sampled_from([part for name in FIELDS for part in name.split(".")]) | st.text(max_size=8)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["s3://user:pw@host/x", "demo://fashion-mnist-lt", "a/../..", "\0", "~", "no", "1e400", "=", "."]
    )
)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)
VALID: dict[str, Any] = parse(config_template(), "template").value
QUICK = settings(max_examples=150, deadline=None)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "fuzz.yaml"


def load(file: Path, text: bytes, *overrides: str) -> Config | None:
    """The config; None for a ConfigError, whose text must be fit for a terminal."""
    file.write_bytes(text)
    try:
        config = load_config(file, overrides)
    except ConfigError as error:
        message = str(error)
    else:
        message = ""
    message.encode()
    assert "pw@" not in message
    if message:
        return None
    assert Config.model_validate_json(config_to_json(config)) == config
    return config


@QUICK
@given(document=DOCUMENTS, as_json=st.booleans())
def test_any_document_is_a_config_or_a_config_error(file: Path, document: Any, as_json: bool) -> None:
    text = json.dumps(document) if as_json else yaml.safe_dump(document, allow_unicode=True)
    load(file, text.encode("utf-8", "surrogatepass"))


@QUICK
@given(document=mutated_json(VALID, SCALARS | DOCUMENTS))
def test_a_config_with_a_few_changes_is_a_config_or_a_config_error(file: Path, document: Any) -> None:
    load(file, json.dumps(document).encode())


@QUICK
@given(data=mutated_bytes(config_template().encode()))
def test_a_config_file_with_damaged_bytes_is_a_config_or_a_config_error(file: Path, data: bytes) -> None:
    load(file, data)


@QUICK
@given(text=st.text(max_size=200))
def test_any_text_is_a_config_or_a_config_error(file: Path, text: str) -> None:
    load(file, text.encode("utf-8", "surrogatepass"))


@QUICK
@given(
    overrides=st.lists(
        st.builds("{}={}".format, st.sampled_from(FIELDS) | KEYS, SCALARS | DOCUMENTS.map(json.dumps))
        | st.text(max_size=30),
        min_size=1,
        max_size=3,
    )
)
def test_any_flag_is_taken_or_a_config_error(file: Path, overrides: list[str]) -> None:
    load(file, b"source: {uri: data}\noutput: {uri: out}\n", *overrides)


def test_the_fuzzed_config_is_valid_before_it_is_changed(file: Path) -> None:
    assert load(file, json.dumps(VALID).encode()) is not None
