"""The modules of the network and its losses."""
