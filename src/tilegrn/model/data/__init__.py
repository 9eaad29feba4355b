"""Cells as the network reads them: batches and window-gene pairs."""
