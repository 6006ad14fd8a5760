"""`augment lift` end to end on a tiny GAN, and `recipe: auto`, which follows what it recommends."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from augment.config import Config, load_config
from augment.errors import ConfigError, IntegrityError
from augment.lift.arms import ARMS, only_classes
from augment.lift.following import Advice, put_advice, stored_advice
from augment.lift.narrowing import Narrowed
from augment.lift.recommendation import Recommendation
from augment.lift.trial import Trial
from augment.lift.verdict import LiftResult
from augment.objects import open_store
from augment.store.models import ModelFolder
from augment.store.reading import open_dataset
from pipelines.lift_data import find_held_out, held_out_images, labelled
from pipelines.lift_job import LiftOutcome, lift
from pipelines.lift_store import LiftStore
from pipelines.planning import plan_for
from pipelines.progress import Progress
from pipelines.run import run, train
from tests.pipelines.conftest import COUNTS, keys, write_folder
from tests.servers import SeaweedServer

pytestmark = pytest.mark.usefixtures("ray_and_s3")

JOB = """
name: small
source: {{uri: "{source}"}}
image: {{size: 16, channels: 1}}
balance: {{min_real: 4}}
recipe: auto
model: {{width: 4, max_width: 8, latent_dim: 4, embedding_dim: 2}}
train: {{steps: 2, batch_size: 8, workers: 1, snapshot_every: 2, log_every: 1, evaluate_every: 0, patience: 0, precision: fp32, cpus_per_worker: 0.5}}
generate: {{batch_size: 8}}
gates: {{steps: 4, folds: 2, batch_size: 16, max_attempts: 2}}
lift: {{steps: 6, batch_size: 8, seeds: 2, precision: fp32, arms: [real, duplicates, gan, gan-gated]}}
output: {{uri: "{output}", shard_rows: 20}}
"""

HELD_OUT = 8  # a class


@dataclass(frozen=True)
class Answered:
    """A job that was trained and asked: its config file, and the answer."""

    config_file: Path
    outcome: LiftOutcome

    @property
    def config(self) -> Config:
        return load_config(self.config_file)

    def copied_to(self, place: Path) -> Config:
        """The same config over a copy of what is stored."""
        shutil.copytree(self.config.output.uri, place)
        return load_config(self.config_file, [f"output.uri={place}"])


@pytest.fixture(scope="module")
def answered(
    ray_and_s3: SeaweedServer, pictures: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> Answered:
    root = tmp_path_factory.mktemp("lift")
    split = {f"train/{name}": data for name, data in pictures.items()}
    for name, data in pictures.items():
        folder, number = name.split("/")
        if int(number.removesuffix(".png")) < HELD_OUT:
            split[f"test/{folder}/{number}"] = noisy(data, name)
    write_folder(split | {"test/dots/leaked.png": pictures["dots/000.png"]}, root / "data")
    path = root / "job.yaml"
    path.write_text(JOB.format(source=root / "data", output=root / "out"))
    quiet = Progress("none", quiet=True)
    train(load_config(path), quiet)
    return Answered(path, lift(load_config(path), quiet))


def noisy(data: bytes, name: str) -> bytes:
    """The picture with other noise: of the class, and none that was trained on."""
    import io

    from PIL import Image

    from tests.pipelines.conftest import png

    pixels = np.asarray(Image.open(io.BytesIO(data))).astype(int)
    noise = np.random.default_rng(sum(name.encode())).integers(-20, 20, pixels.shape)
    return png(np.clip(pixels + noise, 0, 255).astype(np.uint8))


# ---- the answer ---------------------------------------------------------------------------------------


def test_lift_trains_every_arm_with_every_seed_on_held_out_images_apart_from_training(
    answered: Answered,
) -> None:
    found = answered.outcome.result
    answer = found.verdict
    assert answer.training_counts == tuple(COUNTS.values())
    held_out = np.array(answer.validation_counts) + np.array(answer.test_counts)
    assert held_out.tolist() == [HELD_OUT, HELD_OUT, 6]  # rings has six pictures in all
    assert found.left_out == 1
    assert answer.seeds == (0, 1)
    tried = {one.arm.source for one in answer.arms}
    assert {None, "duplicate", "gan"} <= tried
    assert answer.control in ("real", "duplicates")
    stored = open_store(answered.config.output.uri)
    assert len([key for key in keys(stored, "_lift/") if key.endswith(".npz")]) == 2 * len(answer.arms)


def test_the_answer_is_stored_with_all_that_it_rests_on(answered: Answered) -> None:
    store, found = open_store(answered.config.output.uri), answered.outcome.result
    folder = ModelFolder(store, "small")
    stored = LiftResult.model_validate_json(store.get(f"_lift/{found.question[:16]}/lift.json"))
    assert stored == found
    model, source = folder.finished(), folder.source()
    assert model is not None
    assert source is not None
    assert (found.basis.model_sha256, found.basis.data_sha256) == (model.sha256, source.decoded_sha256)
    advice = stored_advice(store)
    assert (advice.question, advice.basis, advice.recommendation) == (
        found.question, found.basis, found.verdict.recommendation,
    )  # fmt: skip


def test_samples_that_the_gates_refuse_are_told_by_class_and_gate(answered: Answered) -> None:
    gated = [one for one in answered.outcome.result.verdict.untried if one.arm == "gan-gated"]
    gated_reasons = [one.reason for one in gated] or [
        one.narrowed for one in answered.outcome.result.verdict.arms if one.arm.source == "gan-gated"
    ]
    assert "samples (refused by " in gated_reasons[0]


def test_another_question_to_the_same_images_is_counted_and_warned_of(
    answered: Answered, quiet: Progress, tmp_path: Path
) -> None:
    config = answered.copied_to(tmp_path / "copy")
    assert answered.outcome.result.test_uses == 1
    again = lift(config, quiet).result
    assert (again.test_uses, again.warnings) == (1, ())
    other = lift(config, quiet, arms=["real", "gan"]).result
    assert other.test_uses == 2
    assert "have answered 2 different questions" in other.warnings[0]
    assert other.question != again.question


@pytest.mark.slow
def test_a_killed_lift_runs_only_the_trials_that_are_missing(
    answered: Answered, quiet: Progress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = answered.copied_to(tmp_path / "copy")
    store = open_store(config.output.uri)
    trials = [key for key in keys(store, "_lift/") if key.endswith(".npz")]
    for key in trials[1:]:
        store.delete(key)
    put, done = LiftStore.put_trial, list[str]()

    def put_and_die(self: LiftStore, question: str, digest: str, trial: Trial) -> str:
        done.append(put(self, question, digest, trial))
        raise KeyboardInterrupt

    monkeypatch.setattr(LiftStore, "put_trial", put_and_die)
    with pytest.raises(KeyboardInterrupt):
        lift(config, quiet)
    assert len(done) == 1

    def put_again(self: LiftStore, question: str, digest: str, trial: Trial) -> str:
        done.append(put(self, question, digest, trial))
        return done[-1]

    monkeypatch.setattr(LiftStore, "put_trial", put_again)
    resumed = lift(config, quiet).result
    assert sorted([trials[0], *done]) == sorted(trials)  # each once
    for one, before in zip(resumed.verdict.arms, answered.outcome.result.verdict.arms, strict=True):
        assert (one.arm, one.test) == (before.arm, before.test)


# ---- who is refused -----------------------------------------------------------------------------------


def test_without_a_model_the_error_says_what_to_run_first(
    answered: Answered, quiet: Progress, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"no finished model `small`.*run `augment train`"):
        lift(load_config(answered.config_file, [f"output.uri={tmp_path / 'empty'}"]), quiet)


def test_without_held_out_images_the_error_says_what_to_add(config: Config) -> None:
    with pytest.raises(ConfigError, match=r"holds none out; mark a split `test` there.*lift\.test_uri"):
        find_held_out(config)


@pytest.mark.parametrize(
    ("arms", "seeds", "message"),
    [
        (["real", "gan-gate"], 2, "did you mean 'gan-gated'"),
        (["gan"], 2, "no control among the arms"),
        (["real", "classic"], 2, r"arm classic needs to know .* classic\.preset"),
        (["real", "gan-soft"], 2, "arm gan-soft learns soft labels"),
        (["real", "gan"], 1, r"lift\.seeds=1: arms are compared over at least 2"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_opened(
    answered: Answered, quiet: Progress, arms: list[str], seeds: int, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        lift(answered.config, quiet, arms=arms, seeds=seeds)


def test_a_damaged_trial_is_named(answered: Answered) -> None:
    store = open_store(f"memory://lift-{answered.outcome.result.question}")
    store.put("_lift/0/real-s0-0.npz", b"not a file")
    with pytest.raises(IntegrityError, match=r"real-s0-0\.npz is no trial of ours"):
        LiftStore(store).trial("_lift/0/real-s0-0.npz")


# ---- held-out images elsewhere ------------------------------------------------------------------------


def test_held_out_images_elsewhere_are_matched_by_their_classes_names(
    answered: Answered, quiet: Progress, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    there = {
        f"{name}/{k}.png": noisy(pictures[f"{name}/000.png"], f"{name}{k}")
        for name in COUNTS
        for k in range(4)
    }
    write_folder(there | {"aardvarks/0.png": pictures["bars/000.png"]}, tmp_path / "elsewhere")
    places = [f"lift.test_uri={tmp_path / 'elsewhere'}"]
    config = load_config(answered.config_file, places)
    sources = find_held_out(config)
    basis = answered.outcome.result.basis
    from pipelines.ingest import ingest

    training = labelled(ingest(sources.test, sources.test.config, config.image, quiet))  # as good as any
    nothing = type(training)(training.pixels_NHWC[:0], training.class_index_N[:0])
    found = held_out_images(config, sources, nothing, basis.classes, quiet)
    assert (found.validation.counts(3) + found.test.counts(3)).tolist() == [4, 4, 4]


# ---- recipe: auto -------------------------------------------------------------------------------------


def test_dont_augment_makes_nothing_and_says_why(answered: Answered, quiet: Progress, tmp_path: Path) -> None:
    config = answered.copied_to(tmp_path / "copy")
    store = open_store(config.output.uri)
    assert not stored_advice(store).recommendation.augment  # two steps of training help nobody
    advice = instead(answered, "real", {})
    put_advice(store, advice)

    result = run(config, quiet)

    assert result.version is None
    assert result.why_nothing == (
        f"the recommendation is not to augment, but to train by real: {advice.recommendation.reason}"
    )


def test_run_makes_what_a_recommended_control_is_made_of(
    answered: Answered, quiet: Progress, tmp_path: Path
) -> None:
    config = answered.copied_to(tmp_path / "copy")
    put_advice(open_store(config.output.uri), instead(answered, "duplicates", {"dots": 15, "rings": 18}))

    result = run(config, quiet)

    assert result.rows == {"bars": 0, "dots": 15, "rings": 18}
    assert set(open_dataset(result.uri).to_pandas(["recipe"])["recipe"]) == {"duplicate"}
    assert run(config, quiet).run_id == result.run_id


def instead(answered: Answered, control: str, samples: dict[str, int]) -> Advice:
    """What lift would say if that control were the best of all."""
    advice = stored_advice(open_store(answered.config.output.uri))
    said = advice.recommendation
    classes = tuple(
        one.model_copy(
            update={
                "recipe": "duplicate" if one.name in samples else "none",
                "samples": samples.get(one.name, 0),
            }
        )
        for one in said.classes
    )
    changed = said.model_copy(
        update={"augment": False, "train": control, "control": control, "classes": classes}
    )
    return advice.model_copy(update={"arm": ARMS[control], "recommendation": changed})


def test_the_newest_runs_card_and_report_show_the_recommendation_as_soon_as_it_is_there(
    answered: Answered, quiet: Progress, tmp_path: Path
) -> None:
    config = answered.copied_to(tmp_path / "copy")
    store = open_store(config.output.uri)
    store.delete("_lift/recommendation.json")
    made = run(config.model_copy(update={"recipe": "duplicate"}), quiet)
    report, card = f"_runs/{made.run_id}/report.json", "README.md"
    assert json.loads(store.get(report))["recommendation"] is None
    assert "train by" not in store.get(card).decode()

    found = lift(config, quiet).result.verdict.recommendation

    shown = json.loads(store.get(report))["recommendation"]
    assert shown["verdict"] == "do-not-augment"
    assert f"train by {found.train}" in shown["headline"]
    assert f"train by {found.train}" in store.get(card).decode()
    assert f"train by {found.train}" in store.get(f"_runs/{made.run_id}/report.html").decode()


def test_an_arm_that_costs_a_class_is_measured_without_it_too(
    answered: Answered, quiet: Progress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = answered.copied_to(tmp_path / "copy")
    narrower = Narrowed(only_classes(ARMS["gan"], [2]), "gan without 'dots': worse there than real")
    monkeypatch.setattr("pipelines.lift_job.narrower_arms", lambda *_: (narrower,))
    before = answered.outcome.result.verdict
    answer = lift(config, quiet).result
    assert answer.question == answered.outcome.result.question  # the same was asked
    one = answer.verdict.arms[-1]
    assert (one.arm, one.narrowed) == (narrower.arm, narrower.reason)
    assert [each.arm for each in answer.verdict.arms if each.arm != narrower.arm] == [
        each.arm for each in before.arms if "without" not in each.narrowed
    ]
    assert (
        len([key for key in keys(open_store(config.output.uri), "_lift/") if narrower.arm.name in key]) == 2
    )


def test_run_makes_exactly_what_was_recommended(answered: Answered, quiet: Progress, tmp_path: Path) -> None:
    config = answered.copied_to(tmp_path / "copy").model_copy(update={"gates": ungated(answered)})
    store = open_store(config.output.uri)
    put_advice(
        store, stored_advice(store).model_copy(update={"arm": ARMS["gan"], "recommendation": helps(answered)})
    )

    result = run(config, quiet)

    assert result.rows == {"bars": 0, "dots": 0, "rings": 5}


def ungated(answered: Answered):
    return answered.config.gates.model_copy(update={"enabled": False})


def helps(answered: Answered) -> Recommendation:
    """What lift would say if five samples of one class helped."""
    said = answered.outcome.result.verdict.recommendation
    classes = [
        one.model_copy(update={"recipe": "gan", "samples": 5, "fill": 0.3}) if one.name == "rings" else one
        for one in said.classes
    ]
    return said.model_copy(
        update={"augment": True, "train": "gan", "chosen": "gan", "classes": tuple(classes)}
    )


def test_a_recommendation_for_another_model_or_other_gates_is_not_followed(
    answered: Answered, quiet: Progress, tmp_path: Path
) -> None:
    config = answered.copied_to(tmp_path / "copy")
    store = open_store(config.output.uri)
    advice = stored_advice(store).model_copy(update={"arm": ARMS["gan"], "recommendation": helps(answered)})
    put_advice(store, advice)
    with pytest.raises(ConfigError, match=r"no gate judged; set gates\.enabled=false"):
        run(config, quiet)
    other = advice.basis.model_copy(update={"model_sha256": "0" * 64})
    put_advice(store, advice.model_copy(update={"basis": other}))
    with pytest.raises(ConfigError, match="was made for another model"):
        run(config, quiet)


def test_without_a_recommendation_auto_says_what_to_run(answered: Answered, tmp_path: Path) -> None:
    config = load_config(answered.config_file, [f"output.uri={tmp_path / 'empty'}"])
    counts = ModelFolder(open_store(answered.config.output.uri), "small").source()
    assert counts is not None
    with pytest.raises(ConfigError, match=r"there is none at .*`augment train` and `augment lift`"):
        plan_for(config, counts.counts)


def test_the_verb_prints_one_json_document(
    answered: Answered, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipelines.cli.lifting import lift as verb

    config = answered.copied_to(tmp_path / "copy")
    options = {"config": answered.config_file, "set_": [f"output.uri={config.output.uri}"], "quiet": True}
    verb(**options, as_json=True, progress="none")
    document = json.loads(capsys.readouterr().out)
    assert document["uri"].endswith("/lift.json")
    uri, seconds = document.pop("uri"), document.pop("seconds")
    assert seconds
    assert LiftResult.model_validate(document) == LiftResult.model_validate_json(Path(uri).read_bytes())
    verb(**options, progress="none")
    printed = capsys.readouterr().out
    assert "recommendation  do not augment; train by" in printed
    assert "duplicates" in printed
