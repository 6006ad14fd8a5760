"""A schedule from its number: who is at work, how it went, and which laws it broke."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from augment.errors import AugmentError, ConfigError
from augment.objects import ObjectStore
from augment.types import Manifest, RunPlan, Snapshot
from tests.store.protocol.actors import (
    Reader,
    collector,
    driver,
    model_revoker,
    revoker,
    run_of,
    simulated,
    straggler,
    topper_up,
)
from tests.store.protocol.laws import Job, Policies, broken_laws, job_of, plan_of, stored, versions
from tests.store.protocol.scheduler import Actor, Scheduler, undisturbed
from tests.store.protocol.world import World

__all__ = [
    "Cast",
    "Casting",
    "broken_by",
    "everybody",
    "first_broken",
    "growing",
    "narrowing_beside_collection",
    "play",
]

_POLICIES = (("append", "append"), ("append", "replace"), ("replace", "replace"), ("refuse", "refuse"))
_GRACES_S = (0.0, 10.0, 1e5, 1e6)
_SKEW_S = 1e6  # a clock may say anything within this
_BEFORE = run_of(0)  # the run that a dataset may hold before the schedule begins


@dataclass
class Cast:
    """Everybody in one schedule."""

    actors: list[Actor] = field(default_factory=list)
    drivers: list[tuple[Actor, RunPlan]] = field(default_factory=list)
    policies: dict[Job, str] = field(default_factory=dict)
    reader: Reader = field(default_factory=Reader)

    def add(self, name: str, body: Callable[[ObjectStore], Any]) -> Actor:
        self.actors.append(Actor(name, body))
        return self.actors[-1]

    def add_driver(self, name: str, run: RunPlan, policy: Any, maker: str) -> None:
        self.policies[job_of(run)] = policy
        body = partial(driver, run=run, policy=policy, maker=maker)
        if policy == "top-up":
            body = partial(topper_up, job=run, maker=maker)
        self.drivers.append((self.add(name, body), run))


Casting = Callable[[random.Random, World], Cast]


def broken_by(number: int, casting: Casting | None = None) -> list[str]:
    """Plays schedule `number`, then what a user does after it (run again, collect, read); the laws it broke.

    `casting` chooses who is at work; most numbers have everybody, and some a narrowing beside a collection.
    """
    rng = random.Random(number)
    # Pages of two keys now and then, so that what changes between pages is met; else as S3 has them.
    world = World(clock=lambda: rng.uniform(-_SKEW_S, _SKEW_S), page_keys=rng.choice((2, 1000, 1000)))
    casting = casting or rng.choices((everybody, growing, narrowing_beside_collection), (0.7, 0.2, 0.1))[0]
    cast = casting(rng, world)
    scheduler = Scheduler(rng, world, cast.actors)
    scheduler.play()
    broken = [*scheduler.complaints, *_false_answers(world, cast)]
    if rng.random() < 0.5:
        scheduler.settle_all()
    again = [each for each in cast.drivers if each[0].result is None or rng.random() < 0.3]
    broken += _run_again(world, cast, again)
    scheduler.settle_all()
    collector(undisturbed(world), grace_s=0.0)
    cast.reader.read(undisturbed(world), None)
    return [*broken, *broken_laws(world, cast.policies), *cast.reader.complaints]


def first_broken(numbers: Iterable[int], casting: Casting | None = None) -> tuple[int, list[str]] | None:
    """The first of these schedules that breaks a law, and which; None if none does."""
    return next(((number, broken) for number in numbers if (broken := broken_by(number, casting))), None)


def play(schedules: int, processes: int, first: int) -> tuple[list[str], float]:
    """Every `processes`-th schedule from `first`: what was broken, and the seconds of CPU that it took."""
    with simulated():
        broken = [
            f"schedule {number}: {law}"
            for number in range(first, schedules, processes)
            for law in broken_by(number)
        ]
    return broken, time.process_time()


def everybody(rng: random.Random, world: World) -> Cast:
    """Two drivers of one run, of two, or of two plans under one run id; and, mostly, all the others."""
    cast = Cast()
    gated = rng.random() < 0.3
    one, other = run_of(1, gated=gated), run_of(2, gated=gated)
    policy, other_policy = rng.choice(_POLICIES)
    kind = rng.random()
    makers = ("first", "second") if rng.random() < 0.7 else ("all", "all")
    if policy != "refuse" and rng.random() < 0.3:
        cast.policies[job_of(_BEFORE)] = "append"
        driver(undisturbed(world), _BEFORE, "append")
    cast.add_driver("driver", one, policy, makers[0])
    if kind < 0.45:
        cast.add_driver("same run", one, policy, makers[1])
    elif kind < 0.85:
        cast.add_driver("other run", other, other_policy, makers[1])
    else:
        cast.add_driver("other plan", run_of(1, torch="2.7.0", gated=gated), policy, makers[1])
    if rng.random() < 0.6:
        late = partial(straggler, run=one, index=rng.randrange(2), maker=f"straggler {rng.randrange(3)}")
        cast.add("straggler", late)
    if rng.random() < 0.6:
        cast.add("collector", partial(collector, grace_s=rng.choice(_GRACES_S)))
    if rng.random() < 0.7:
        cast.add("reader", cast.reader)
    if rng.random() < 0.3:
        cast.add("revoker", partial(revoker, run=one, class_name=rng.choice((None, "cat", "dog", "dog"))))
    return cast


def growing(rng: random.Random, world: World) -> Cast:
    """Jobs of one generator that all add rows: of one seed, to a target, or to a class of another name."""
    cast = Cast()
    if rng.random() < 0.7:
        cast.policies[job_of(_BEFORE)] = "append"
        driver(undisturbed(world), _BEFORE, "append")
    jobs = [
        ("one", run_of(1), "append"),
        ("same seed", run_of(1, shard_rows=3), "append"),
        ("top-up", run_of(3, more=2, gated=rng.random() < 0.5), "top-up"),
        ("other top-up", run_of(4, more=3), "top-up"),
        ("same seed's top-up", run_of(1, more=4, shard_rows=4), "top-up"),
        ("other name", run_of(5, second="wolf"), "append"),
    ]
    for name, run, policy in rng.sample(jobs, 2 if rng.random() < 0.8 else 3):
        cast.add_driver(name, run, policy, name)
    if rng.random() < 0.3:
        cast.add("collector", partial(collector, grace_s=rng.choice(_GRACES_S)))
    if rng.random() < 0.2:
        cast.add("revoker", partial(revoker, run=_BEFORE, class_name=rng.choice((None, "cat", "dog"))))
    elif rng.random() < 0.15:
        cast.add("model revoker", partial(model_revoker, run=_BEFORE))
    if rng.random() < 0.3:
        cast.add("reader", cast.reader)
    return cast


def narrowing_beside_collection(rng: random.Random, world: World) -> Cast:
    """A class of a published run is revoked while a collector is at work: few operations, all of them close."""
    cast = Cast()
    cast.policies[job_of(_BEFORE)] = "append"
    driver(undisturbed(world), _BEFORE, "append")
    straggler(undisturbed(world), _BEFORE, index=1, maker="straggler")
    cast.add("revoker", partial(revoker, run=_BEFORE, class_name=rng.choice(("cat", "dog"))))
    cast.add("collector", partial(collector, grace_s=rng.choice(_GRACES_S)))
    if rng.random() < 0.3:
        cast.add("other revoker", partial(revoker, run=_BEFORE, class_name=rng.choice((None, "cat", "dog"))))
    if rng.random() < 0.3:
        cast.add("reader", cast.reader)
    return cast


def _false_answers(world: World, cast: Cast) -> Iterator[str]:
    """Whoever was told that its run is published finds it so."""
    for actor, run in cast.drivers:
        if actor.result is not None:
            yield from _false_answer(world, run, actor.result)


def _false_answer(world: World, run: RunPlan, answer: Snapshot) -> Iterator[str]:
    if stored(world, Snapshot, f"_snapshots/{answer.version:020d}.json") != answer:
        yield f"a driver was given a version {answer.version} that is not the one stored"
    if job_of(run) not in {job_of(plan_of(world, listed.run_id)) for listed in answer.runs}:
        yield f"a driver of run {run.run_id} was given a version without it"


def _run_again(world: World, cast: Cast, again: Iterable[tuple[Actor, RunPlan]]) -> Iterator[str]:
    """Nothing is disturbed any more: every driver ends, or hears why it never will."""
    for actor, run in again:
        try:
            answer = actor.body(undisturbed(world))
        except AugmentError as error:
            if not (isinstance(error, ConfigError) and _is_refused(world, run, cast.policies)):
                yield f"run again, undisturbed, {actor.name} ended in {error!r}"
        else:
            if answer is not None:  # a top-up may find that nothing is lacking
                yield from _false_answer(world, run, answer)


def _is_refused(world: World, run: RunPlan, policies: Policies) -> bool:
    """Whether the store gives a reason why this job can't be published any more."""
    begun = [plan_of(world, key.split("/")[1]) for key in world.objects if key.endswith("/plan.json")]
    attempts = [plan for plan in begun if job_of(plan) == job_of(run)]
    for plan in attempts:
        if plan.versions != run.versions and stored(world, Manifest, _manifest_key(plan)) is None:
            return True
    latest = versions(world)[-1] if versions(world) else None
    if latest is None:
        return False
    ours = {plan.run_id for plan in attempts}
    if any(each.run_id in ours or each.generator_sha256 for each in latest.revoked):
        return True
    others = [plan_of(world, listed.run_id) for listed in latest.runs if listed.run_id not in ours]
    if policies[job_of(run)] in ("append", "top-up"):
        named = {target.label: target.name for target in run.plan.classes}
        return any(named[target.label] != target.name for plan in others for target in plan.plan.classes)
    return policies[job_of(run)] == "refuse" and bool(others)


def _manifest_key(run: RunPlan) -> str:
    return f"_runs/{run.run_id}/manifest.json"
