"""augment.config and augment.config_file: what loads, and what a user is told where it doesn't."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from augment.config import (
    Config,
    RayConfig,
    config_to_dict,
    config_to_json,
    load_config,
    unused_sections,
)
from augment.data.config import SourceConfig
from augment.errors import ConfigError
from augment.store.config import OutputConfig

MINIMAL = "source: {uri: data}\noutput: {uri: out}\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes demo.yaml into an empty folder that is the current one, and returns its name."""
    monkeypatch.chdir(tmp_path)

    def write(text: str, name: str = "demo.yaml") -> str:
        Path(name).write_text(text, encoding="utf-8")
        return name

    return write


def complaint(path: str, *overrides: str) -> str:
    """The text of the ConfigError that loading raises."""
    with pytest.raises(ConfigError) as refusal:
        load_config(path, overrides)
    assert refusal.value.exit_code == 2
    return str(refusal.value)


# ---- what loads -----------------------------------------------------------------------------------------


def test_source_and_output_are_enough(write: Any) -> None:
    config = load_config(write(MINIMAL))
    assert config == Config(source=SourceConfig(uri="data"), output=OutputConfig(uri="out"))
    assert (config.name, config.seed, config.ray) == ("augment", 0, RayConfig())


def test_a_section_of_comments_is_all_defaults(write: Any) -> None:
    assert load_config(write(MINIMAL + "train:\n  # steps: 5\nray: ~\n")) == load_config(write(MINIMAL))


def test_values_are_read_as_yaml_1_2(write: Any) -> None:
    config = load_config(
        write(
            MINIMAL + "train: {learning_rate: 1e-3, gamma: 2, diffaugment: [cutout]}\n"
            "balance: {strategy: {0: 500, no: 70, 2024-01-01: 9}}\nname: 'off'\n"
        )
    )
    assert config.train.learning_rate == 0.001
    assert config.train.gamma == 2.0
    assert config.train.diffaugment == ("cutout",)
    assert config.balance.strategy == {"0": 500, "no": 70, "2024-01-01": 9}
    assert config.name == "off"


def test_an_override_wins_over_the_file_and_the_last_over_the_first(write: Any) -> None:
    path = write(MINIMAL + "train: {steps: 5}\n")
    config = load_config(
        path,
        [
            "train.steps=6",
            "train.steps=7",
            "balance.strategy={cat: 9}",
            "balance.max_total=~",
            "model={width: 8}",
            "seed=3",
        ],
    )
    assert (config.train.steps, config.balance.strategy, config.model.width, config.seed) == (
        7,
        {"cat": 9},
        8,
        3,
    )


def test_an_override_mends_what_the_file_has_wrong(write: Any) -> None:
    assert load_config(write(MINIMAL + "train: {steps: many}\n"), ["train.steps=5"]).train.steps == 5


def test_overrides_can_stand_for_an_empty_file(write: Any) -> None:
    assert load_config(write("# nothing yet\n"), ["source.uri=a", "output.uri=b"]).source.uri == "a"


def test_a_byte_order_mark_is_no_key(write: Any) -> None:
    assert load_config(write("\ufeff" + MINIMAL)).source.uri == "data"


def test_what_is_stored_reads_back_the_same(write: Any) -> None:
    config = load_config(write(MINIMAL + "balance: {strategy: {a: 5}}\n"))
    assert Config.model_validate_json(config_to_json(config)) == config
    assert json.loads(config_to_json(config)) == config_to_dict(config)


@pytest.mark.parametrize("address", ["auto", "ray://head:10001", "10.0.0.1:6379", "local"])
def test_a_cluster_address_is_taken_as_it_is(write: Any, address: str) -> None:
    assert load_config(write(MINIMAL), [f"ray.address={address}"]).ray.address == address


# ---- the augmentation file ------------------------------------------------------------------------------


def test_the_augmentation_file_is_read_from_the_configs_folder(write: Any, tmp_path: Path) -> None:
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "flip.yaml").write_text("__version__: 2.0.8\ntransform: {p: 1.0e-1, transforms: []}\n")
    (folder / "run.yaml").write_text("source: {uri: data}\noutput: {uri: out, augmentation: flip.yaml}\n")
    pipeline = {"__version__": "2.0.8", "transform": {"p": 0.1, "transforms": []}}
    assert load_config("configs/run.yaml").output.augmentation == pipeline
    assert load_config("configs/run.yaml", ["output.augmentation=flip.yaml"]).output.augmentation == pipeline
    assert load_config("configs/run.yaml", ["output.augmentation=null"]).output.augmentation is None


def test_the_augmentation_may_stand_in_the_config_itself(write: Any) -> None:
    path = write("source: {uri: data}\noutput:\n  uri: out\n  augmentation: {transform: {p: 1}}\n")
    assert load_config(path).output.augmentation == {"transform": {"p": 1}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "flip.yaml: no such file"),
        ("a: [", "flip.yaml:1:5: not valid YAML"),
        ("- 1", "flip.yaml is not a pipeline that albumentations.save wrote"),
        ("p: 1", "flip.yaml is not a pipeline that albumentations.save wrote: it has no `transform`"),
        ("transform: 1\nx: .nan", "flip.yaml:2: .nan is not a finite number"),
    ],
)
def test_a_wrong_augmentation_file_is_named_with_the_line_that_asks_for_it(
    write: Any, content: str | None, message: str
) -> None:
    if content is not None:
        write(content, "flip.yaml")
    path = write("source: {uri: data}\noutput:\n  uri: out\n  augmentation: flip.yaml\n")
    assert complaint(path).startswith("demo.yaml:4: output.augmentation: ")
    assert message in complaint(path)


def test_an_inline_augmentation_without_a_transform_is_refused(write: Any) -> None:
    path = write("source: {uri: data}\noutput:\n  uri: out\n  augmentation: {p: 1}\n")
    assert "demo.yaml:4: output.augmentation: it is not a pipeline" in complaint(path)


# ---- what is refused ------------------------------------------------------------------------------------


def test_a_missing_file_is_named(write: Any) -> None:
    assert complaint("nowhere.yaml") == "nowhere.yaml: no such file"


def test_a_folder_a_binary_and_a_huge_file_are_no_configs(write: Any) -> None:
    os.mkdir("folder")
    assert complaint("folder").startswith("folder: cannot be read: ")
    Path("binary").write_bytes(b"a: \xff\xfe")
    assert complaint("binary") == "binary: not UTF-8 text (byte 3)"
    Path("huge").write_bytes(b"#" * 1_000_001)
    assert complaint("huge") == "huge: larger than 1 MB; is it a config?"


def test_broken_yaml_names_line_and_column(write: Any) -> None:
    assert complaint(write("source:\n  uri: [a\n")).startswith("demo.yaml:3:1: not valid YAML: ")


def test_a_list_is_no_config(write: Any) -> None:
    assert complaint(write("- a\n")) == 'demo.yaml: expected sections such as `source:`, got ["a"]'


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("train: {batch_sze: 64}", "train.batch_sze: unknown key (value 64); did you mean train.batch_size?"),
        ("trian:\n  steps: 5", "3: trian: unknown key; did you mean train?"),
        ("gamma: 3", "3: gamma: unknown key (value 3); did you mean train.gamma?"),
        ("batch_size: 3", "(value 3); did you mean train.batch_size, generate.batch_size, gates.batch_size or lift.batch_size?"),
        ("image: {zzz: [1]}", "3: image.zzz: unknown key; the keys of image are size, channels,"),
        ("train:\n\n  steps: abc", "5: train.steps: expected whole number ≥ 1, got 'abc'"),
        ("train: {steps: 0}", "3: train.steps: expected whole number ≥ 1, got 0"),
        ("train: {steps: 1e4}", "3: train.steps: expected whole number ≥ 1, got 10000.0; write 10000"),
        ("train: {steps: null}", "3: train.steps: expected whole number ≥ 1, got null"),
        ("train: {steps: true}", "3: train.steps: expected whole number ≥ 1, got true"),
        ("train: {beta2: 1}", "3: train.beta2: expected number > 0 and < 1, got 1"),
        ("train: {steps: 3, steps: 4}", "3: train.steps: given twice (first on line 3); remove one"),
        ("train: 5", "3: train: expected a section (`field: value` lines), got 5"),
        ("train: {loss: hing}", "got 'hing'; did you mean hinge?"),
        ("train: {precision: off}", "3: train.precision: expected auto, fp32, bf16 or fp16, got 'off'"),
        ("train: {horizontal_flip: yes}", "expected true or false, got 'yes'; write true"),
        ("train: {horizontal_flip: 1}", "3: train.horizontal_flip: expected true or false, got 1"),
        ("train:\n  diffaugment:\n  - cutout\n  - briteness", "6: train.diffaugment[1]: expected bright"),
        ("train: {diffaugment: cutout}", "expected list of brightness, saturation,"),
        ("train: {gamma: .nan}", "3: train.gamma: .nan is not a finite number"),
        ("image: {size: 50}", "3: image.size: 50 is not a size the networks can build; the nearest is 48"),
        ("image: {channels: 4}", "3: image.channels: expected 1 or 3, got 4"),
        ("image: {background: 256}", "3: image.background: expected whole number 0 to 255, got 256"),
        ("balance: {strategy: minorty}", "got 'minorty'; did you mean minority?"),
        ("balance:\n  strategy:\n    a: 5\n    b: x", "6: balance.strategy.b: expected whole number"),
        ("balance: {strategy: [a]}", "or a map from name to whole number, got ["),
        ("seed: -1", "3: seed: expected whole number ≥ 0 and < 2^63, got -1"),
        ("seed: 9223372036854775808", "3: seed: expected whole number ≥ 0 and < 2^63, got 922337"),
        ("name: Cats", "3: name: expected text like [a-z0-9][a-z0-9-]{0,46}, got 'Cats'"),
        (f"name: {'a' * 48}", "3: name: expected text like"),
        ("name: 7", "3: name: expected text like [a-z0-9][a-z0-9-]{0,46}, got 7; put it in quotes"),
        ("name: !env HOME", "3: name: tag !env is not supported; remove it"),
        ("ray: {stall_timeout_s: 0}", "3: ray.stall_timeout_s: expected number > 0, got 0"),
        # what is right alone and wrong together
        ("train: {workers: 100}", "3: train: batch_size=64 and workers=100 leave some workers without an image"),
        ("train:\n  loss: wgan-gp\n  penalty: r1", "5: train: loss=wgan-gp needs penalty=gradient-penalty"),
        ("balance: {strategy: {a: 5}, ratio: 0.5}", "3: balance.ratio: 0.5 has no effect with a map"),
        ("ray: {address: auto, num_cpus: 2}", "3: ray.num_cpus: 2 is for a cluster started here"),
        ("ray: {address: auto, object_store_gb: 2}", "3: ray.object_store_gb: 2.0 is for a cluster"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_file_line_field_and_value(write: Any, lines: str, message: str) -> None:
    said = complaint(write(MINIMAL + lines + "\n"))
    assert said.startswith("demo.yaml:")
    assert message in said
    assert "\n" not in said


def test_a_required_field_that_is_missing_is_named(write: Any) -> None:
    assert complaint(write("name: x\nsource:\n  format: folder\n")).splitlines() == [
        "demo.yaml: output.uri: required, but missing",
        "demo.yaml:2: source.uri: required, but missing",
    ]


def test_all_problems_are_listed_at_once_in_the_order_of_the_file(write: Any) -> None:
    path = write(MINIMAL + "train:\n  steps: a\n  workers: 0\n  steps: 3\nnaem: x\nimage: {size: 50}\n")
    said = complaint(path, "seed=x", "output.augmentation=none.yaml", "foo.bar=1")
    assert [line.split(": ")[0] for line in said.splitlines()] == [
        "demo.yaml:4",
        "demo.yaml:5",
        "demo.yaml:6",
        "demo.yaml:7",
        "demo.yaml:8",
        "--set seed=x",
        "--set output.augmentation=none.yaml",
        "--set foo.bar=1",
    ]


# ---- --set ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.steps=abc", "--set train.steps=abc: expected whole number ≥ 1, got 'abc'"),
        ("train.stps=4", "--set train.stps=4: unknown key; did you mean train.steps?"),
        ("stall_timeout_s=4", "--set stall_timeout_s=4: unknown key; did you mean ray.stall_timeout_s?"),
        ("train.steps", "--set train.steps: expected section.field=value"),
        ("=4", "--set =4: unknown key; the keys at the top are name, seed, recipe, source,"),
        ("seed=[1", "--set seed=[1: value:1:3: not valid YAML"),
        ("train.gamma=.inf", "--set train.gamma=.inf: .inf is not a finite number"),
        (
            "balance.strategy.cat=5",
            "balance.strategy is set as a whole, e.g. --set 'balance.strategy={name: value}'",
        ),
        (
            "balance.strategy={cat: x}",
            "--set balance.strategy={cat: x}: balance.strategy.cat: expected whole number",
        ),
        (
            "train={workers: 100}",
            "--set train={workers: 100}: batch_size=64 and workers=100 leave some workers without an image",
        ),
        (
            "train.workers=100",
            "--set train.workers=100: train: batch_size=64 and workers=100 leave some workers without an image",
        ),
        ("output.uri=data", "--set output.uri=data: data is source.uri=data"),
    ],
)
def test_a_mistake_in_an_override_is_told_with_the_override(write: Any, override: str, message: str) -> None:
    assert message in complaint(write(MINIMAL), override)


# ---- addresses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "output", "relation"),
    [
        ("data", "./data/", "is"),
        ("data", "other/../data/out", "lies inside"),
        ("data/a.parquet", "data", "holds"),
        ("s3://bucket/x", "s3://bucket/x/", "is"),
        ("s3://bucket/x", "s3://bucket/x/y", "lies inside"),
        ("s3://bucket/x/y", "s3://bucket", "holds"),
    ],
)
def test_an_output_that_a_rerun_would_read_is_refused(
    write: Any, source: str, output: str, relation: str
) -> None:
    path = write(f"source:\n  uri: {source}\noutput:\n  uri: {output}\n")
    said = complaint(path)
    assert said.startswith(f"demo.yaml:4: output.uri: {output} {relation} source.uri={source}")


def test_an_output_reached_through_a_link_is_seen_to_overlap(write: Any, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    assert "lies inside" in complaint(write("source: {uri: data}\noutput: {uri: link/out}\n"))


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("data", "data-out"),
        ("s3://bucket/x", "s3://bucket/xy"),
        ("s3://a/x", "s3://b/x"),
        ("data", "s3://data"),
        ("demo://fashion-mnist-lt", "demo"),
    ],
)
def test_places_that_only_look_alike_are_apart(write: Any, source: str, output: str) -> None:
    assert (
        load_config(write(f"source: {{uri: '{source}'}}\noutput: {{uri: '{output}'}}\n")).output.uri == output
    )


@pytest.mark.parametrize("uri", ["gs://bucket/x", "''", "s3:///x"])
def test_an_address_that_no_store_has_is_refused(write: Any, uri: str) -> None:
    said = complaint(write(f"source: {{uri: data}}\noutput:\n  uri: {uri}\n"))
    assert said.startswith("demo.yaml:3: output.uri: ")


SECRET = "hunter2canary"


@pytest.mark.parametrize(
    "lines",
    [
        f"source: {{uri: 's3://key:{SECRET}@bucket/x'}}\noutput: {{uri: out}}\n",
        f"source: {{uri: data}}\noutput: {{uri: 's3://key:{SECRET}/more@bucket/x'}}\n",
        MINIMAL + f"ray: {{address: 'ray://{SECRET}@head:10001'}}\n",
        MINIMAL + f"train: {{steps: 's3://key:{SECRET}@bucket'}}\n",
        MINIMAL + f"nonsense: s3://key:{SECRET}@bucket\n",
        MINIMAL + f"output_uri: [s3://key:{SECRET}@bucket]\n",
        MINIMAL + f"aws_secret_access_key: {SECRET}\n",
        MINIMAL + f"source_password: {SECRET}\n",
    ],
)
def test_a_secret_is_refused_without_being_repeated(write: Any, lines: str) -> None:
    assert SECRET not in complaint(write(lines))


@pytest.mark.parametrize(
    "override", [f"source.uri=s3://k:{SECRET}@b/x", f"aws_secret={SECRET}", f"seed=s3://k:{SECRET}@b"]
)
def test_a_secret_in_an_override_is_not_repeated(write: Any, override: str) -> None:
    assert SECRET not in complaint(write(MINIMAL), override)


def test_a_secret_is_refused_by_the_class_itself_and_not_repeated() -> None:
    uri = f"s3://key:{SECRET}@bucket/x"
    with pytest.raises(ValidationError, match="holds credentials") as refusal:
        Config(source=SourceConfig(uri=uri), output=OutputConfig(uri="out"))
    assert SECRET not in str(refusal.value)


# ---- properties -----------------------------------------------------------------------------------------


@given(text=st.text(max_size=80))
def test_any_text_that_is_no_config_is_a_config_error(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(ConfigError):
        load_config(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
    max_leaves=4,
)
FIELDS = [
    f"{section}.{field}" if isinstance(value, dict) else section
    for section, value in config_to_dict(
        Config(source=SourceConfig(uri="data"), output=OutputConfig(uri="out"))
    ).items()
    for field in (value if isinstance(value, dict) else [""])
]


@given(field=st.sampled_from(FIELDS), value=JSON)
def test_any_value_in_any_field_loads_or_is_a_config_error_that_names_it(
    field: str, value: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "minimal.yaml"
    path.write_text(MINIMAL)
    try:
        config = load_config(path, [f"{field}={json.dumps(value)}"])
    except ConfigError as error:
        said: str | None = str(error)
    else:
        said = None
        assert Config.model_validate_json(config_to_json(config)) == config
    assert said is None or f"--set {field}=" in said


# ---- sections of recipes ----------------------------------------------------------------------------------

SEVERAL = MINIMAL + "classic: {preset: photographs}\nsmote: {space: features}\n"


@pytest.mark.parametrize(
    ("overrides", "unused"),
    [
        (["recipe=duplicate"], ["classic", "smote"]),
        ([], ["classic", "smote"]),  # of the default, gan
        (["recipe=classic"], ["smote"]),
        (["recipe={cat: smote}", "gates.enabled=true"], ["classic"]),
        (["recipe=gan", "gates.enabled=true", "gates.on_shortfall=classic"], ["smote"]),
        (["recipe=auto", "gates.enabled=true"], []),  # whatever is recommended
    ],
)
def test_a_config_may_hold_sections_of_recipes_that_no_class_has_which_are_named(
    tmp_path: Path, overrides: list[str], unused: list[str]
) -> None:
    path = tmp_path / "several.yaml"
    path.write_text(SEVERAL)
    lines = unused_sections(load_config(path, overrides))
    assert [line.partition(":")[0] for line in lines] == unused
    assert all("has no effect" in line for line in lines)


def test_what_a_recipe_needs_is_asked_for_only_where_it_is_used(tmp_path: Path) -> None:
    path = tmp_path / "several.yaml"
    path.write_text(SEVERAL)
    with pytest.raises(ConfigError, match=r"smote\.space: features are those of the gates"):
        load_config(path, ["recipe=smote", "gates.enabled=false"])
    assert unused_sections(load_config(path, ["recipe=classic", "gates.enabled=false"]))
    path.write_text(MINIMAL)
    assert unused_sections(load_config(path, ["recipe=duplicate"])) == ()
    with pytest.raises(ConfigError, match=r"set classic\.preset or classic\.pipeline"):
        load_config(path, ["recipe=classic"])


# ---- cost -----------------------------------------------------------------------------------------------


def test_planning_imports_neither_torch_nor_ray_nor_albumentations_nor_opencv() -> None:
    program = (
        "import sys, augment.config, augment.config_reference, augment.report.tables\n"
        "import augment.planning.policy, augment.planning.plan, augment.planning.cost\n"
        "heavy = {'torch', 'torchvision', 'ray', 'albumentations', 'cv2', 'pyarrow', 'boto3', 'pipelines'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
