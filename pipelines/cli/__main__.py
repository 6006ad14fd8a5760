"""`python -m pipelines.cli` is `augment`."""

from pipelines.cli import main

main()
