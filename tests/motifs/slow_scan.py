"""The rule of HOMER in plain Python, letter by letter: what the fast scanner is held against."""

from __future__ import annotations

import math

COMPLEMENT = {"A": "T", "C": "G", "G": "C", "T": "A"}


def word_score(word, motif):
    """Score of a word of the motif's length, or None if it holds anything but A, C, G, T."""
    total = 0.0
    for letter, row in zip(word.upper(), motif.probabilities, strict=True):
        if letter not in COMPLEMENT:
            return None
        total += math.log(max(float(row["ACGT".index(letter)]), 0.001) / 0.25)
    return total


def hits(sequence, motif, *, mask=False):
    """(position, strand, score) of all hits, by position, + before -."""
    if mask:
        sequence = "".join("N" if c.islower() else c for c in sequence)
    found = []
    for i in range(len(sequence) - motif.length + 1):
        word = sequence[i : i + motif.length].upper()
        turned = "".join(COMPLEMENT.get(c, "N") for c in reversed(word))
        for strand, letters in (("+", word), ("-", turned)):
            score = word_score(letters, motif)
            if score is not None and score >= motif.threshold:
                found.append((i, strand, score))
    return found


def all_hits(sequences, motifs, *, mask=False):
    """(sequence, position, motif, strand, score) of all hits in the order that the scanner promises."""
    rows = [
        (n, i, number, strand, score)
        for n, sequence in enumerate(sequences)
        for number, motif in enumerate(motifs)
        for i, strand, score in hits(sequence, motif, mask=mask)
    ]
    return sorted(rows, key=lambda r: (r[0], r[1], r[2], r[3] == "-"))
