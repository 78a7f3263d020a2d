"""What cells prove: statistics with their uncertainty, the paper's own numbers, likeness of lesions."""
