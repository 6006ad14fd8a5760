"""Batch submission: one interface, and a file a backend, for whatever runs the job.

    contract      what a submission, a job and a backend are; what the exit codes mean
    run_id        a submission's id: a hash of config, source, code and tick
    record        submissions in the dataset's store: who submitted what, where, and how it ended
    desk          submit or attach, status, wait, cancel: the same on every backend
    backends      the table of backends; local, ray_jobs, kuberay and slurm beside it

The job is `augment run` with the config as it was submitted, the same whatever runs it: no backend's settings are
part of the config. Nothing here runs a stage, and importing it imports neither torch nor Ray.
"""
