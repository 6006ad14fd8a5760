"""From class counts to a plan of samples and shards, and what it will cost. Pure."""
