"""What the commands of one job have used of its budget: one small object, put again and again while they run.

    _spending/<job>.json     zeros again once the job has ended well

A budget is a job's, however many commands it takes: whoever tries a job again after exit code 5 goes on with what is
left of it. Owns the record, its key, and reading it. Of two commands of one job at the same time, the one that spoke last
is counted. Nothing here decides what is made, and no version refers to it.
"""

from __future__ import annotations

from pydantic import Field

from augment.objects import ObjectStore
from augment.stored_record import stored_record
from augment.types import Record

__all__ = ["Spent", "put_spent", "spent_key", "stored_spent"]


class Spent(Record):
    """Of all commands of a job that had a budget, since the job last ended well."""

    commands: int = Field(default=0, ge=0)
    seconds: float = Field(default=0.0, ge=0)  # from each command's start, by its driver's clock
    usd: float = Field(default=0.0, ge=0)  # by the prices that each command was given
    schema_version: int = 1

    def plus(self, *, seconds: float, usd: float) -> Spent:
        """With one command more, which has used so much."""
        return Spent(
            commands=self.commands + 1, seconds=self.seconds + max(0.0, seconds), usd=self.usd + max(0.0, usd)
        )


def spent_key(job: str) -> str:
    """Where it is kept what a job has used."""
    return f"_spending/{job}.json"


def put_spent(store: ObjectStore, job: str, spent: Spent) -> None:
    """Say what the job has used, in place of what was said before."""
    store.put(spent_key(job), spent.to_json())


def stored_spent(store: ObjectStore, job: str) -> Spent:
    """What the job has used; nothing where nobody said so. Raises IntegrityError, naming the object, if it is corrupt."""
    mend = "a newer version of augment wrote it, or remove it: the budget is then counted from nothing"
    return (
        stored_record(Spent, store, spent_key(job), called="record of what was spent", mend=mend) or Spent()
    )
