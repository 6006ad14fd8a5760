"""Processes that act on one store: one that may die, or several that start each round together.

Owns how they are started (by a fork server that has imported everything once) and what they report. What they
do is acts.py's.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Any, NoReturn

from augment.errors import AugmentError
from tests.store.server.acts import one_client

__all__ = ["exit_code_of", "kill_everywhere", "race"]

TIMEOUT_S = 120.0
STAGGER_S = 0.02  # a driver's whole commit takes a few of these

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["__main__", "tests.store.server.acts"])


def exit_code_of(act: Callable[..., None], *args: Any) -> int | None:
    """Run `act` in a process of its own; its exit code, negative for a signal."""
    child = _CONTEXT.Process(target=_act, args=(dict(os.environ), act, args))
    child.start()
    child.join(TIMEOUT_S)
    if child.is_alive():
        child.kill()
        raise AssertionError(f"{act} did not end in {TIMEOUT_S} s")
    return child.exitcode


def kill_everywhere(act: Callable[[int], None]) -> int:
    """Run act(0), act(1), … each in a process of its own, which kills itself, until one ends well; how many died.

    All are forked from one process that has a client ready. An act that ends otherwise is an error.
    """
    receiver, sender = _CONTEXT.Pipe(duplex=False)
    parent = _CONTEXT.Process(target=_fork_until_one_lives, args=(dict(os.environ), act, sender))
    parent.start()
    sender.close()
    try:
        *deaths, last = _received(receiver)
    finally:
        parent.kill()
        parent.join()
    assert last == 0, f"number {len(deaths)} ended with {last}, and not by SIGKILL"
    return len(deaths)


def race(acts: Sequence[Callable[[int], str]], rounds: int) -> list[tuple[str, ...]]:
    """Run all `acts`, each in a process of its own, for every round 0 … rounds - 1; outcomes by round.

    A round's acts begin together, or up to STAGGER_S apart. An outcome is what an act returned, or the name of
    the AugmentError that it raised.
    """
    barrier = _CONTEXT.Barrier(len(acts))
    children, pipes = [], []
    for act in acts:
        receiver, sender = _CONTEXT.Pipe(duplex=False)
        child = _CONTEXT.Process(target=_racer, args=(dict(os.environ), act, rounds, barrier, sender))
        child.start()
        sender.close()
        children.append(child)
        pipes.append(receiver)
    try:
        outcomes = [_received(pipe) for pipe in pipes]
    finally:
        for child in children:
            child.kill()
            child.join()
    return list(zip(*outcomes, strict=True))


def _received(pipe: Connection) -> Any:
    assert pipe.poll(TIMEOUT_S), "a process does not answer"
    return pipe.recv()  # EOFError where it died; its traceback is on standard error


def _act(env: dict[str, str], act: Callable[..., None], args: tuple[Any, ...]) -> None:
    _enter(env)
    act(*args)


def _fork_until_one_lives(env: dict[str, str], act: Callable[[int], None], codes: Connection) -> None:
    _enter(env)
    found: list[int] = []
    while not found or found[-1] == -signal.SIGKILL:
        pid = os.fork()
        if pid == 0:
            _end_with(act, len(found))
        found.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    codes.send(found)


def _end_with(act: Callable[[int], None], number: int) -> NoReturn:
    """The act, and then this process's end: what it was forked from goes on elsewhere."""
    code = 1
    try:
        act(number)
        code = 0
    finally:
        if code:
            traceback.print_exc()
        os._exit(code)


def _racer(
    env: dict[str, str], act: Callable[[int], str], rounds: int, barrier: Barrier, outcomes: Connection
) -> None:
    _enter(env)
    found = []
    try:
        for round_ in range(rounds):
            stagger_s = random.choice((0.0, random.uniform(0.0, STAGGER_S)))
            barrier.wait(TIMEOUT_S)
            time.sleep(stagger_s)
            try:
                found.append(act(round_))
            except AugmentError as error:
                found.append(type(error).__name__)
    except BaseException:
        barrier.abort()  # the others need not wait for this one
        raise
    outcomes.send(found)


def _enter(env: dict[str, str]) -> None:
    """The environment of now, not that of when the fork server started; and one S3 client for all stores."""
    os.environ.clear()
    os.environ.update(env)
    if "AWS_ENDPOINT_URL" in env:
        one_client()
