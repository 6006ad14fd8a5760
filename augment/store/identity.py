"""Which run a job is, as its dataset stands: the same again, one that goes on after others, or a new attempt.

A job is a config's plan with its generator and its source. Most often it is one run, whose id is a hash of it;
but for two cases, both decided here from what is stored and nothing else, so that the same command, killed and
run again, means the same run:

- Noise depends on (seed, label, index), so that an appended run must not begin at an index that the same
  generator (or recipe, from the same images) and seed have been published with: it goes on after them. The job
  that was appended is found again.
- A run that `augment gc` has aborted never comes back. The next attempt at the job has an id of its own.

Owns no write, and knows no Ray.
"""

from __future__ import annotations

from collections.abc import Iterable

from augment.objects import ObjectStore
from augment.store.commit import ExistingPolicy, run_id_of
from augment.store.existing import published_runs, repeats, shared_samples
from augment.store.records import latest_snapshot, stored_manifest
from augment.types import AugmentPlan, ClassTarget, RunPlan, Snapshot

__all__ = ["run_for"]


def run_for(store: ObjectStore, job: RunPlan, policy: ExistingPolicy) -> RunPlan:
    """The run that `job`, a run as `make_run_plan` gives it, is on this dataset under this policy.

    Under `append`, samples have indices after all that the same generator and seed were ever published with;
    only a job that is in the newest version already, that was revoked, or that would repeat no row there, is
    the run it was. (A top-up's plan has its indices already; `replace` and `refuse` share a version with
    nothing.) Raises IntegrityError if a record is missing or corrupt.
    """
    run = _appended(store, job) if policy == "append" else job
    while (sealed := stored_manifest(store, run.run_id)) is not None and sealed.record.status == "aborted":
        run = _but(run, run.plan, run.attempt + 1)
    return run


def _appended(store: ObjectStore, job: RunPlan) -> RunPlan:
    latest = latest_snapshot(store)
    if latest is None:
        return job
    published = {run.run_id: run for run in published_runs(store, latest.record)}
    for there in published.values():
        alike = there.schema_version == job.schema_version and _begun_at_0(there) == _begun_at_0(job)
        if alike and _may_stay(there, latest.record, published):
            return _but(job, there.plan, there.attempt)
    classes = tuple(
        target.model_copy(update={"first": _spent(job, target, published.values())})
        if target.synthetic
        else target
        for target in job.plan.classes
    )
    return _but(job, job.plan.model_copy(update={"classes": classes}), attempt=0)


def _spent(job: RunPlan, target: ClassTarget, published: Iterable[RunPlan]) -> int:
    """One past the highest index of the class in published runs whose samples those of the job would repeat."""
    return max(
        (
            there.first + there.synthetic
            for run in published
            for there in run.plan.classes
            if there.label == target.label and repeats(job, target, run, there)
        ),
        default=0,
    )


def _may_stay(run: RunPlan, newest: Snapshot, published: dict[str, RunPlan]) -> bool:
    """Whether the run is what the job means now: not if a `replace` dropped it and its samples are there anew."""
    listed = {each.run_id: each for each in newest.runs}
    if run.run_id in listed or any(each.run_id == run.run_id for each in newest.revoked):
        return True
    return not any(shared_samples(run, published[run_id], each.without) for run_id, each in listed.items())


def _begun_at_0(run: RunPlan) -> str:
    """What two runs of one job have in common: the id of its first attempt with indices from 0."""
    classes = tuple(target.model_copy(update={"first": 0}) for target in run.plan.classes)
    return _but(run, run.plan.model_copy(update={"classes": classes}), attempt=0).run_id


def _but(run: RunPlan, plan: AugmentPlan, attempt: int) -> RunPlan:
    """The run with another plan or attempt, and the id that follows."""
    changed = run.model_copy(update={"plan": plan, "attempt": attempt})
    return changed.model_copy(update={"run_id": run_id_of(changed)})
