"""The commit protocol under a scheduler: every store operation can be stopped, failed, repeated, reordered.

    world       the store that all share: one dictionary, and a memory of every key's bytes
    stepping    one actor's view of it, in which every operation first asks what shall become of it
    scheduler   actors as greenlets, and seeded schedules that choose who goes on, and what fails
    actors      drivers, a straggler, a collector, a reader, a revoker: they call the public functions only
    schedules   who is at work in which schedule, and what a user does after it
    laws        what must hold after every schedule
    mutants     the protocol with one thing broken, each of which must be found out

`python -m tests.store.protocol` runs 40,000 schedules.
"""
