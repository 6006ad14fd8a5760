"""What the gates are called, in plans, ledgers and messages: of who asks for no more than their names.

Imports nothing, torch least of all: a plan knows by it which classes are judged.
"""

__all__ = ["GATES"]

# In the order in which they refuse: a copy is named as such even where its label is wrong as well.
GATES = (
    "near-copy-pixels",
    "near-copy-features",
    "label",
    "in-distribution-features",
    "in-distribution-pixels",
    "discriminator",
)
