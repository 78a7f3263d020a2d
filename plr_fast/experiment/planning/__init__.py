"""The experiment file: read, checked, and laid over recipes."""
