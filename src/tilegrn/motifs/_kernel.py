"""The compiled scanner: text to codes, codes to candidates, candidates to exact hits.

Imported only when a scan starts, because numba takes its time. All functions release the GIL and use one thread;
callers run them side by side on blocks of sequences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tilegrn._core.compiled import compiled
from tilegrn.motifs._lookup import STEP, WIDTH, candidate_masks, lowest_bit

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["count_text", "find_text"]

TILE = 16384
"""Positions scanned with all motifs before the next: their codes stay in the first-level cache."""
NONE = 4
"""Code of a letter that is no base."""


@compiled
def _load_tile(
    text: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    alphabet: NDArray[np.uint8],
    lo: int,
    hi: int,
    ahead: int,
    codes: NDArray[np.uint8],
    runs: NDArray[np.uint8],
    owner: NDArray[np.int32],
) -> None:
    """Fill the codes, runs and sequence numbers of positions lo to hi, and codes and runs ``ahead`` further on."""
    end = min(hi + ahead, text.size)
    for i in range(end - lo, codes.size):
        codes[i] = 0
        runs[i] = 0
    sequence = np.searchsorted(bounds, end - 1, side="right") - 1
    position = end - 1
    following = 0
    while position >= lo:
        first = max(bounds[sequence], lo)
        run = 0
        while position >= first:
            base = alphabet[text[position]]
            if base == NONE:
                base = 0
                run = 0
            elif run < 255:
                run += 1
            codes[position - lo] = 4 * base + following
            runs[position - lo] = run
            following = base
            if position < hi:
                owner[position - lo] = sequence
            position -= 1
        sequence -= 1


@compiled
def _in_one_run(runs: NDArray[np.uint8], at: int, length: int) -> bool:
    """Tell whether the bases from ``at`` on are neither N nor beyond the end of the sequence."""
    # Runs end at 255: a longer motif goes on from the last base known to belong to the same run.
    while length > 255:
        if runs[at] < 255:
            return False
        at += 254
        length -= 254
    return bool(runs[at] >= length)


@compiled
def _tile_candidates(
    codes: NDArray[np.uint8],
    n: int,
    n_pairs: int,
    limit: int,
    tables: NDArray[np.uint8],
    table_start: int,
    masks: NDArray[np.uint64],
    places: NDArray[np.int32],
) -> int:
    """Write where a motif may hit: ``2 * position + (strand is -)``."""
    n_found = 0
    for start in range(0, n, STEP):
        if candidate_masks(codes, start, tables, table_start, n_pairs, np.uint8(limit), masks):
            for word in range(masks.size):
                mask = masks[word]
                first = 2 * (start + word // 2 * WIDTH) + word % 2
                while mask != 0:
                    places[n_found] = first + 2 * lowest_bit(mask)
                    n_found += 1
                    mask &= mask - np.uint64(1)
    return n_found


@compiled
def _tile_hits(
    codes: NDArray[np.uint8],
    runs: NDArray[np.uint8],
    n: int,
    motif: int,
    lengths: NDArray[np.int64],
    thresholds: NDArray[np.float64],
    limits: NDArray[np.uint8],
    scores: NDArray[np.float64],
    score_start: NDArray[np.int64],
    tables: NDArray[np.uint8],
    table_start: NDArray[np.int64],
    masks: NDArray[np.uint64],
    places: NDArray[np.int32],
    found: NDArray[np.float64],
) -> int:
    """Write the hits of one motif in a tile: ``2 * position + (strand is -)`` and the score; + before - at a position.

    Scores are summed in motif order, in double precision, as HOMER does.
    """
    length = lengths[motif]
    first = score_start[motif]
    n_candidates = _tile_candidates(
        codes, n, (length + 1) // 2, limits[motif], tables, table_start[motif], masks, places
    )
    n_hits = 0
    for candidate in range(n_candidates):
        place = places[candidate]
        at = place >> 1
        if not _in_one_run(runs, at, length):
            continue
        # On the minus strand the motif runs from the right end of the site to the left, over complements (3 - base).
        minus = place & 1
        letter = at + minus * (length - 1)
        step = 1 - 2 * minus
        flip = 3 * minus
        total = 0.0
        for k in range(first, first + length):
            total += scores[k, (codes[letter] >> 2) ^ flip]
            letter += step
        places[n_hits] = place
        found[n_hits] = total
        n_hits += total >= thresholds[motif]
    return n_hits


@compiled
def count_text(
    text: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    alphabet: NDArray[np.uint8],
    columns: NDArray[np.int64],
    n_columns: int,
    lengths: NDArray[np.int64],
    thresholds: NDArray[np.float64],
    limits: NDArray[np.uint8],
    scores: NDArray[np.float64],
    score_start: NDArray[np.int64],
    tables: NDArray[np.uint8],
    table_start: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """Count hits per sequence and column: the three arrays of a CSR matrix.

    Sequences lie one behind the other in ``text``; ``bounds`` holds their starts and, last, the end.
    """
    n_sequences = bounds.size - 1
    counts = np.zeros((n_sequences, n_columns), dtype=np.int32)
    longest = lengths.max() if lengths.size else 0
    codes = np.empty(TILE + longest + STEP + WIDTH + 2, dtype=np.uint8)
    runs = np.empty_like(codes)
    owner = np.empty(TILE, dtype=np.int32)
    masks = np.empty(2 * STEP // WIDTH, dtype=np.uint64)
    places = np.empty(2 * TILE, dtype=np.int32)
    found = np.empty(2 * TILE, dtype=np.float64)
    for lo in range(0, text.size, TILE):
        hi = min(lo + TILE, text.size)
        _load_tile(text, bounds, alphabet, lo, hi, longest, codes, runs, owner)
        for motif in range(lengths.size):
            n_hits = _tile_hits(
                codes,
                runs,
                hi - lo,
                motif,
                lengths,
                thresholds,
                limits,
                scores,
                score_start,
                tables,
                table_start,
                masks,
                places,
                found,
            )
            column = columns[motif]
            for hit in range(n_hits):
                counts[owner[places[hit] >> 1], column] += 1
    return _compress(counts)


@compiled
def _compress(counts: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """Turn a dense count matrix into the row pointers, columns and values of CSR."""
    ends = np.zeros(counts.shape[0] + 1, dtype=np.int64)
    for row in range(counts.shape[0]):
        filled = 0
        for column in range(counts.shape[1]):
            filled += counts[row, column] != 0
        ends[row + 1] = ends[row] + filled
    indices = np.empty(ends[-1], dtype=np.int32)
    values = np.empty(ends[-1], dtype=np.int32)
    at = 0
    for row in range(counts.shape[0]):
        for column in range(counts.shape[1]):
            if counts[row, column] != 0:
                indices[at] = column
                values[at] = counts[row, column]
                at += 1
    return ends, indices, values


@compiled
def find_text(
    text: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    alphabet: NDArray[np.uint8],
    lengths: NDArray[np.int64],
    thresholds: NDArray[np.float64],
    limits: NDArray[np.uint8],
    scores: NDArray[np.float64],
    score_start: NDArray[np.int64],
    tables: NDArray[np.uint8],
    table_start: NDArray[np.int64],
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64], NDArray[np.float64]]:
    """List hits: sequence, motif, ``2 * leftmost position in the sequence + (strand is -)``, score."""
    longest = lengths.max() if lengths.size else 0
    codes = np.empty(TILE + longest + STEP + WIDTH + 2, dtype=np.uint8)
    runs = np.empty_like(codes)
    owner = np.empty(TILE, dtype=np.int32)
    masks = np.empty(2 * STEP // WIDTH, dtype=np.uint64)
    places = np.empty(2 * TILE, dtype=np.int32)
    found = np.empty(2 * TILE, dtype=np.float64)
    room = 4096
    of_sequence = np.empty(room, dtype=np.int32)
    of_motif = np.empty(room, dtype=np.int32)
    position = np.empty(room, dtype=np.int64)
    score = np.empty(room, dtype=np.float64)
    n = 0
    for lo in range(0, text.size, TILE):
        hi = min(lo + TILE, text.size)
        _load_tile(text, bounds, alphabet, lo, hi, longest, codes, runs, owner)
        for motif in range(lengths.size):
            n_hits = _tile_hits(
                codes,
                runs,
                hi - lo,
                motif,
                lengths,
                thresholds,
                limits,
                scores,
                score_start,
                tables,
                table_start,
                masks,
                places,
                found,
            )
            if n + n_hits > room:
                room = 2 * (n + n_hits)
                of_sequence = np.concatenate((of_sequence[:n], np.empty(room - n, dtype=np.int32)))
                of_motif = np.concatenate((of_motif[:n], np.empty(room - n, dtype=np.int32)))
                position = np.concatenate((position[:n], np.empty(room - n, dtype=np.int64)))
                score = np.concatenate((score[:n], np.empty(room - n, dtype=np.float64)))
            for hit in range(n_hits):
                sequence = owner[places[hit] >> 1]
                of_sequence[n] = sequence
                of_motif[n] = motif
                position[n] = places[hit] + 2 * (lo - bounds[sequence])
                score[n] = found[hit]
                n += 1
    return of_sequence[:n], of_motif[:n], position[:n], score[:n]
