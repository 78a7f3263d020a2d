"""From plan to cells: what is to be done, by which workers, in which order; controls that need no network."""
