"""The thorax phantom: seeded CT-like slices with lung masks, so that everything runs with no data at all."""
