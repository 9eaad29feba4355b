"""Making and fitting a network, and the teacher it learns from."""
