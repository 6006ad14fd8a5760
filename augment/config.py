"""The root config: composes the rooms' configs, and reads them from strict YAML with `--set` overrides.

Owns: which sections there are, the checks across sections that need no data, and where the augmentation
file lies. What a field means is its room's; how YAML becomes a config is augment.config_file's. Imports no
torch, Ray or albumentations: reading a config costs nothing.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, model_validator
from typing_extensions import Self

from augment.config_file import Combinations, Draft, read_config, read_yaml
from augment.data.config import ImageConfig, SourceConfig
from augment.data.places import root_of
from augment.errors import ConfigError
from augment.gan.config import GenerateConfig, ModelConfig, TrainConfig
from augment.lift.config import LiftingConfig
from augment.objects import open_store
from augment.planning.config import BalanceConfig, BudgetConfig, CostConfig
from augment.quality.config import GatingConfig
from augment.recipes.config import ClassicConfig, RecipeChoice, SmoteConfig
from augment.redaction import redact
from augment.report.config import ReportConfig
from augment.store.config import OutputConfig
from augment.types import ConfigModel, canonical_json

__all__ = ["Config", "RayConfig", "config_to_dict", "config_to_json", "load_config", "unused_sections"]

_EMBEDDED = (None, "local")  # values of ray.address for a cluster of our own


class RayConfig(ConfigModel):
    """The Ray cluster the work runs on."""

    address: str | None = None
    """`null`: join the cluster that the environment variable RAY_ADDRESS names, else start one on this
    machine for the job; `local` always starts one; `auto`, `host:port` or `ray://host:port` joins one."""

    num_cpus: int | None = Field(default=None, ge=1)
    """CPUs of a cluster started here (`null`: all); not for one that is joined."""

    object_store_gb: float | None = Field(default=None, gt=0)
    """Shared memory of a cluster started here, in GB (`null`: Ray's choice); not for one that is joined."""

    wait_s: float = Field(default=900.0, ge=0)
    """Seconds to wait, on a cluster that is joined, for what a stage cannot begin without: CPUs, and GPUs where
    `train.device` or `generate.device` is `gpu` (an autoscaler is asked for them). Then exit code 75; 0 takes the
    cluster as it is."""

    stall_timeout_s: float = Field(default=600.0, gt=0)
    """Seconds without progress after which decoding, generating or a training worker fails rather than hangs."""


class Config(ConfigModel):
    """A whole run: what goes in, how it is balanced, and what comes out."""

    model_config = ConfigDict(hide_input_in_errors=True)  # the input may be an address with a password

    name: str = Field(default="augment", pattern=r"^[a-z0-9][a-z0-9-]{0,46}$")
    """Names the model inside the dataset; another name begins another model."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    """Decides every random number; the same config, data and seed give the same samples."""

    recipe: RecipeChoice = "gan"
    """How samples are made: `gan` (from noise, by a generator trained on all classes), `classic` (real images of
    the class, changed by an albumentations pipeline), `duplicate` (real images again), `smote` (between a real
    image and a neighbour) or `none`; a map from class name to one of these (classes that it does not name have
    `gan`); or `auto`: as `augment lift` recommended, class by class."""

    source: SourceConfig
    image: ImageConfig = ImageConfig()
    balance: BalanceConfig = BalanceConfig()
    classic: ClassicConfig = ClassicConfig()
    smote: SmoteConfig = SmoteConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    generate: GenerateConfig = GenerateConfig()
    gates: GatingConfig = GatingConfig()
    lift: LiftingConfig = LiftingConfig()
    output: OutputConfig
    report: ReportConfig = ReportConfig()
    cost: CostConfig = CostConfig()
    budget: BudgetConfig = BudgetConfig()
    ray: RayConfig = RayConfig()

    @model_validator(mode="after")
    def _check_sections_together(self) -> Self:
        secrets = _credential_problems(self.model_dump(include={"source", "output", "ray", "lift", "report"}))
        problems = secrets or [
            *_uri_problems(self),
            *_balance_problems(self.balance),
            *_class_problems(self.model, self.train),
            *_recipe_problems(self),
            *_budget_problems(self),
            *_ray_problems(self.ray),
        ]
        if problems:
            raise Combinations(problems)
        return self


def load_config(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file, apply `overrides` (`"train.steps=100"`, the value as YAML), and check it all.

    `output.augmentation` and `classic.pipeline` given as paths are read, so that the config holds the pipelines
    themselves. Raises
    ConfigError that lists every problem with its file, line and value, one a line.
    """
    return read_config(Config, Path(path), overrides, prepare=_prepare)


def config_to_dict(config: Config) -> dict[str, Any]:
    """`config` as plain JSON values."""
    return config.model_dump(mode="json")


def config_to_json(config: Config) -> bytes:
    """Canonical JSON, to be stored; `Config.model_validate_json` reads it back."""
    return canonical_json(config_to_dict(config))


def unused_sections(config: Config) -> tuple[str, ...]:
    """The sections of recipes that no class has, a line each, to be warned of.

    No error: a config may be for several recipes, one of which `--set recipe=…` chooses. With `auto` a
    recommendation does, and nothing is said.
    """
    used = _used_recipes(config)
    if "auto" in used:
        return ()
    given = {"classic": config.classic != ClassicConfig(), "smote": config.smote != SmoteConfig()}
    return tuple(
        f"{name}: no class has the recipe {name}, so this section has no effect here (`augment lift` uses it)"
        for name, is_given in given.items()
        if is_given and name not in used
    )


def _prepare(draft: Draft[Config]) -> None:
    for path, message in _credential_problems(draft.value):
        draft.note(path, message)
    _load_pipeline(draft, "output", "augmentation")
    _load_pipeline(draft, "classic", "pipeline")


def _load_pipeline(draft: Draft[Config], section: str, name: str) -> None:
    """Put the content of the file that `section.name` names in its place."""
    path = (section, name)
    fields = draft.value.get(section)
    pipeline = fields.get(name) if isinstance(fields, dict) else None
    if not isinstance(fields, dict) or not isinstance(pipeline, str | dict):
        return  # absent, or of a type that validation reports
    where = "it"
    if isinstance(pipeline, str):
        where = pipeline
        try:
            document = read_yaml(draft.file.parent / pipeline)
        except ConfigError as error:
            draft.note(path, str(error))
            return
        for problem in document.problems:
            draft.note(path, f"{pipeline}:{problem.line}: {problem.message}")
        pipeline = fields[name] = document.value
    if not isinstance(pipeline, dict) or "transform" not in pipeline:
        draft.note(path, f"{where} is not a pipeline that albumentations.save wrote: it has no `transform`")
        fields[name] = None


# ---- checks across fields -----------------------------------------------------------------------------

_Problems = list[tuple[tuple[str | int, ...], str]]


def _credential_problems(values: Mapping[str, Any]) -> _Problems:
    """Addresses with `user:password@` in them; what stands before the `@` is not repeated."""
    problems: _Problems = []
    addresses = (
        ("source", "uri"), ("output", "uri"), ("ray", "address"),
        ("lift", "test_uri"), ("lift", "validation_uri"), ("report", "mlflow"), ("report", "openlineage"),
    )  # fmt: skip
    for section, field in addresses:
        fields = values.get(section)
        given = fields.get(field) if isinstance(fields, dict) else None
        for address in given if isinstance(given, list | tuple) else (given,):
            if isinstance(address, str) and (clean := redact(address)) != address:
                mend = "they come from the environment (AWS_PROFILE, …), never from a config"
                problems.append(((section, field), f"{clean} holds credentials; {mend}"))
    return problems


def _uri_problems(config: Config) -> _Problems:
    """Addresses that no store has, and an output that a rerun would take for input."""
    problems: _Problems = []
    output: tuple[str, ...] | None = None
    try:
        output = _place(config.output.uri)
    except ConfigError as error:
        problems.append((("output", "uri"), f"{config.output.uri!r}: {error}"))
    for uri in config.source.uris:
        if uri.startswith("demo://"):
            continue
        try:
            source = _place(root_of(uri))
        except ConfigError as error:
            problems.append((("source", "uri"), f"{uri!r}: {error}"))
            continue
        if output is not None and (relation := _overlap(output, source)):
            message = (
                f"{config.output.uri} {relation} source.uri={uri}, so a rerun would read its own "
                "output; choose a place of its own"
            )
            problems.append((("output", "uri"), message))
    return problems


def _place(uri: str) -> tuple[str, ...]:
    """A location in parts, the same for every spelling of it; nothing is contacted."""
    store_uri = open_store(uri).uri
    scheme, separator, rest = store_uri.partition("://")
    if not separator:
        return ("", *Path(os.path.realpath(store_uri)).parts)
    return (scheme, *(part for part in rest.split("/") if part))


def _overlap(output: tuple[str, ...], source: tuple[str, ...]) -> str | None:
    """How the two lie in each other, in words; None where they are apart."""
    if output == source:
        return "is"
    if output[: len(source)] == source:
        return "lies inside"
    return "holds" if source[: len(output)] == output else None


def _balance_problems(balance: BalanceConfig) -> _Problems:
    if isinstance(balance.strategy, dict) and balance.ratio != 1:
        useless = f"{balance.ratio} has no effect with a map in balance.strategy, whose totals are final"
        return [(("balance", "ratio"), f"{useless}; remove one")]
    return []


def _class_problems(model: ModelConfig, train: TrainConfig) -> _Problems:
    """Parts of the long-tail toolbox that have nothing to work on."""
    problems: _Problems = []
    if not model.conditional:
        problems += [
            (
                ("train", name),
                f"{getattr(train, name)} works on classes, and model.conditional=false has none; remove one",
            )
            for name in ("embedding_noise", "gsr_weight", "transition")
            if getattr(train, name)
        ]
    if train.twins_weight and not model.resolved_mapping_layers:
        needs = "compares mapped latents, and the generator maps none; set model.mapping_layers to 2, or "
        problems.append((("train", "twins_weight"), f"{train.twins_weight} {needs}model.backbone to style"))
    return problems


def _recipe_problems(config: Config) -> _Problems:
    """Recipes that lack their settings; that a section has no recipe is no problem, see `unused_sections`."""
    problems: _Problems = []
    used = _used_recipes(config)
    given = config.classic.preset is not None or config.classic.pipeline is not None
    if "classic" in used and not given:
        needs = "needs to know which changes keep a label; set classic.preset or classic.pipeline"
        problems.append((("recipe",), f"the recipe classic {needs}"))
    if config.recipe == "auto" and (config.balance.strategy != "auto" or config.balance.ratio != 1):
        name = "strategy" if config.balance.strategy != "auto" else "ratio"
        useless = "has no effect beside recipe=auto, which fills classes as far as was recommended"
        problems.append((("balance", name), f"{getattr(config.balance, name)} {useless}; remove one"))
    if config.smote.space == "features" and not config.gates.enabled and used & {"smote", "auto"}:
        problems.append(
            (("smote", "space"), "features are those of the gates' classifiers; set gates.enabled")
        )
    return problems


def _used_recipes(config: Config) -> set[str]:
    """The recipes that samples may be made by; `auto` where a recommendation says."""
    used: set[str] = set(config.recipe.values()) if isinstance(config.recipe, dict) else {config.recipe}
    return used | ({config.gates.on_shortfall} if config.gates.enabled else set())


def _budget_problems(config: Config) -> _Problems:
    """Dollars that nothing is counted by."""
    prices = config.cost.prices
    if config.budget.usd is None or any((prices.cpu, prices.gpu, prices.machine)):
        return []
    needs = "needs a price above 0 an hour: set cost.prices.cpu, cost.prices.gpu or cost.prices.machine"
    return [(("budget", "usd"), f"{config.budget.usd:g} {needs}; or budget.hours instead")]


def _ray_problems(ray: RayConfig) -> _Problems:
    """What is asked of a cluster that we don't start."""
    if ray.address in _EMBEDDED:
        return []
    asked = {"num_cpus": ray.num_cpus, "object_store_gb": ray.object_store_gb}
    return [
        (
            ("ray", name),
            f"{value} is for a cluster started here, and ray.address={redact(str(ray.address))} joins one",
        )
        for name, value in asked.items()
        if value is not None
    ]
