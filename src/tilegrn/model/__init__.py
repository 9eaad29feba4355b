"""The transformer: arrays and tensors, no AnnData."""
