"""augment.strict_yaml: YAML 1.2 values, their lines, and what is refused."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from augment.errors import ConfigError
from augment.redaction import redact
from augment.strict_yaml import parse


@pytest.mark.parametrize(
    ("text", "value"),
    [  # the examples of YAML 1.2.2, §10.3.2, and the traps of YAML 1.1
        ("null", None), ("~", None), ("", None), ("true", True), ("False", False),
        ("0", 0), ("0o7", 7), ("0x3A", 58), ("-19", -19), ("+12", 12), ("010", 10), ("5_000", 5000),
        ("0.", 0.0), ("-0.0", -0.0), (".5", 0.5), ("+12e03", 12000.0), ("-2E+05", -200000.0), ("1e-3", 0.001),
        ("no", "no"), ("off", "off"), ("Yes", "Yes"), ("y", "y"), ("2024-01-01", "2024-01-01"),
        ("12:30", "12:30"), ("1__0", "1__0"), ("=", "="), ('"1"', "1"), ("!!str 1", "1"), ("0x", "0x"),
    ],
)  # fmt: skip
def test_a_scalar_means_what_yaml_1_2_says(text: str, value: Any) -> None:
    read = parse(f"key: {text}", "x").value["key"]
    assert read == value
    assert type(read) is type(value)


def test_keys_are_text_as_written() -> None:
    assert parse("{0: 1, no: 2, 1.50: 3, ~: 4}", "x").value == {"0": 1, "no": 2, "1.50": 3, "~": 4}


def test_every_value_has_its_line() -> None:
    document = parse("a: 1\nb:\n  - 2\n  -\n    c: 3\n", "x")
    assert document.lines[("a",)] == 1
    assert document.lines[("b", 0)] == 3
    assert document.lines[("b", 1, "c")] == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "given twice (first on line 1)"),
        ("a: .inf", ".inf is not a finite number"),
        ("a: -.INF", "-.INF is not a finite number"),
        ("a: .nan", ".nan is not a finite number"),
        ("a: 1e999", "1e999 is not a finite number"),
        ("a: !!python/object:os.system x", "!!python/object:os.system is not supported"),
        ("a: !mine {}", "!mine is not supported"),
        ("a: !!set {x}", "!!set is not supported"),
        ("a: !!int x", "!!int is not supported"),
        ('a: "\\ud800"', "half a surrogate pair"),
        ("? [1]\n: 2", "a key must be plain text"),
        ("a: " + "9" * 5000, "5000 digits is too long"),
    ],
)
def test_what_json_could_not_hold_is_a_problem_with_its_line(text: str, message: str) -> None:
    (problem,) = parse(text, "x").problems
    assert message in problem.message
    assert problem.line == text.count("\n") + (0 if text.startswith("?") else 1)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: [1\nb: 2", "f.yaml:2:2"),
        ("a:\n\t- b", "f.yaml:2:1"),
        ("a: 1\n---\nb: 2", "f.yaml:2:1"),
        ("a: *b", "f.yaml:1:4"),
    ],
)
def test_text_that_is_not_yaml_names_line_and_column(text: str, place: str) -> None:
    with pytest.raises(ConfigError, match=f"^{place}: not valid YAML"):
        parse(text, "f.yaml")


def test_a_control_character_names_its_line() -> None:
    with pytest.raises(ConfigError, match=r"^f\.yaml:2: not valid YAML: a control character \(code 7\)"):
        parse("a: 1\nb: \x07", "f.yaml")


def test_aliases_are_followed() -> None:
    assert parse("a: &x [1, 2]\nb: *x", "x").value == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]",
        "\n".join(["a0: &a0 [x]", *(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10))]),
        "[" * 60 + "]" * 60,
        "[" * 5000,
    ],
)
def test_a_text_that_would_never_end_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^x(:\d+)?: (more than|nested more than)"):
        parse(text, "x")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_what_pyyaml_dumps_reads_back_the_same(value: Any) -> None:
    assert parse(yaml.safe_dump(value, default_style='"'), "x").value == value


@given(JSON)
def test_json_reads_back_the_same(value: Any) -> None:
    assert parse(json.dumps(value), "x").value == value


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("s3://key:hunter2@bucket/x", "s3://***@bucket/x"),
        ("s3://key:hun/ter2@bucket/x", "s3://***@bucket/x"),
        ("see https://token@host and s3://a:b@c", "see https://***@host and s3://***@c"),
        ("s3://bucket/user@example/x", "s3://bucket/user@example/x"),
        ("ray://head:10001", "ray://head:10001"),
    ],
)
def test_credentials_in_a_uri_are_hidden(text: str, clean: str) -> None:
    assert redact(text) == clean
