"""The store room: the commit protocol, shards, and reading committed datasets."""
