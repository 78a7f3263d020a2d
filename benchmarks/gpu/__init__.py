"""What the operations reach on a GPU, beside the device's own limits and what people use otherwise, in one run."""
