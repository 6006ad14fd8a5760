"""Seeded schedules: who goes on at every operation, and what fails.

Every actor is a greenlet that stops before each of its operations. Half of the schedules choose at random who
goes on; half are priority schedules (PCT; Burckhardt et al. 2010): the actor with the highest priority runs until
it ends, and at a few random operations the one that runs is put last. Most bugs need few such switches at the
right places, which uniformly random choices almost never make.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from greenlet import greenlet

from augment.errors import AugmentError
from augment.objects import ObjectStore
from tests.store.protocol.stepping import Died, Fate, SteppedStore
from tests.store.protocol.world import World

__all__ = ["Actor", "Scheduler", "undisturbed"]

MOST_STEPS = 1500  # no schedule needs a third of this: whoever gets here runs in circles
SPAN = 15  # operations an actor, among which faults and switches fall
FAULTS = tuple(fate for fate in Fate if fate is not Fate.DONE)


class Actor:
    """One process: what it does, and what came of it. It may be begun again after it died or failed."""

    def __init__(self, name: str, body: Callable[[ObjectStore], Any]) -> None:
        self.name, self.body = name, body
        self.result: Any = None
        self.error: AugmentError | None = None
        self.died = False
        self.priority = 0.0
        self._greenlet: greenlet

    def begin(self, store: ObjectStore) -> None:
        """Runs up to its first operation."""
        self.result, self.error, self.died = None, None, False
        self._greenlet = greenlet(self._run)
        self._greenlet.switch(store)

    @property
    def ended(self) -> bool:
        return bool(self._greenlet.dead)

    def go_on(self, fate: Fate) -> None:
        """Does the operation that it stands before, and runs up to the next."""
        self._greenlet.switch(fate)

    def kill(self) -> None:
        if not self.ended:
            self._greenlet.throw(Died)

    def decide(self, kind: str) -> Fate:
        """Called in the actor's own greenlet: stops it, and goes on with what the scheduler says."""
        fate: Fate = self._greenlet.parent.switch(kind)
        return fate

    def _run(self, store: ObjectStore) -> None:
        try:
            self.result = self.body(store)
        except AugmentError as error:
            self.error = error
        except Died:
            self.died = True


class Scheduler:
    """Plays one schedule, all of whose choices follow from `rng`."""

    def __init__(self, rng: random.Random, world: World, actors: Sequence[Actor]) -> None:
        self.world = world
        self.complaints: list[str] = []
        self._rng = rng
        self._actors = actors
        self._span = SPAN * len(actors)
        self._by_priority = rng.random() < 0.5
        self._switches = {rng.randrange(self._span) for _ in range(rng.randrange(5))}
        self._faults = {rng.randrange(self._span): rng.choice(FAULTS) for _ in range(rng.randrange(4))}
        self._step = 0
        self._lingering: list[tuple[int, Callable[[], Any]]] = []  # until which step, and what is done then

    def play(self) -> None:
        """Until all have ended; those that died or failed are begun again once, or left."""
        again = {actor.name for actor in self._actors if self._rng.random() < 0.5}
        for actor in self._actors:
            self._begin(actor)
        waiting = [actor for actor in self._actors if not actor.ended]
        while waiting:
            actor = self._next(waiting)
            actor.go_on(self._faults.get(self._step, Fate.DONE))
            self._step += 1
            self._settle(self._step)
            if actor.ended:
                if (actor.died or actor.error) and actor.name in again:
                    again.remove(actor.name)
                    self._begin(actor)
                waiting = [actor for actor in waiting if not actor.ended]
            if self._step > MOST_STEPS:
                self.complaints.append(f"after {MOST_STEPS} operations {actor.name} has not ended")
                for actor in waiting:
                    actor.kill()
                return

    def settle_all(self) -> None:
        """What still lingers in the network is done now."""
        self._settle(MOST_STEPS * 2)

    def _begin(self, actor: Actor) -> None:
        actor.priority = self._rng.random()
        actor.begin(SteppedStore(self.world, f"sim://{actor.name}", actor.decide, self._linger))

    def _next(self, waiting: list[Actor]) -> Actor:
        if not self._by_priority:
            return waiting[int(self._rng.random() * len(waiting))]
        actor = max(waiting, key=lambda actor: actor.priority)
        if self._step in self._switches:
            actor.priority = -float(self._step)
            actor = max(waiting, key=lambda actor: actor.priority)
        return actor

    def _linger(self, effect: Callable[[], Any]) -> None:
        self._lingering.append((self._step + self._rng.randrange(self._span), effect))

    def _settle(self, step: int) -> None:
        if self._lingering:
            due = [effect for until, effect in self._lingering if until <= step]
            self._lingering = [(until, effect) for until, effect in self._lingering if until > step]
            for effect in due:
                effect()


def undisturbed(world: World, uri: str = "sim://alone") -> SteppedStore:
    """The store for one who works alone, and to whom nothing happens."""
    return SteppedStore(world, uri, lambda kind: Fate.DONE)
