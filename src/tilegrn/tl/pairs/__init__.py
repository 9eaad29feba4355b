"""Pairs of an element and a gene: what is seen of them, their score, links."""
