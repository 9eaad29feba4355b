"""The network: its modules, inputs, fit and files."""
