"""Where steps run: in this process, in a pool of warm ones, or on a Ray cluster."""
