"""The model's life: data read for it, training, predictions, new samples."""
