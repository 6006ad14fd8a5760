"""Real and synthetic rows as one shuffled stream, for training what the synthetic rows were made for.

Owns the mixing reader: which synthetic rows take part, in which order rows come, and who reads which of them.
The rooms of data and store read the rows.
"""
