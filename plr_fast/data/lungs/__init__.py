"""Lung masks: where they come from, how good they are, and pictures of those in doubt."""
