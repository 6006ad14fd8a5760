"""Samples of a shard: candidates drawn by generator and recipes, and kept where the gates let them pass."""
