"""The scanner against the rule spelt out letter by letter."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.motifs import slow_scan
from tilegrn.errors import InputError
from tilegrn.motifs import Motif, count_sequences, scan_sequences
from tilegrn.motifs._lookup import STEP, WIDTH
from tilegrn.motifs._profile import Profile

EXAMPLES = int(os.environ.get("TILEGRN_SCAN_EXAMPLES", "120"))
LETTERS = "ACGTACGTACGTACGTacgtNnRyK*-U\u00e9"
BASES = np.array(list("ACGT"))


def as_rows(frame, motifs):
    numbers = {m.name: i for i, m in enumerate(motifs)}
    columns = (frame["number"], frame["position"], frame["motif"], frame["strand"], frame["score"])
    return [(n, p, numbers[m], s, x) for n, p, m, s, x in zip(*columns, strict=True)]


def check(sequences, motifs, *, mask=False):
    expected = slow_scan.all_hits(sequences, motifs, mask=mask)
    found = scan_sequences(sequences, motifs, mask=mask)
    assert as_rows(found, motifs) == expected  # scores to the last bit
    words = [sequences[n][p : p + motifs[m].length].upper() for n, p, m, _, _ in expected]
    assert found["sequence"].tolist() == words
    counts = np.zeros((len(sequences), len(motifs)), dtype=int)
    for n, _, m, _, _ in expected:
        counts[n, m] += 1
    result = count_sequences(sequences, motifs, mask=mask, n_jobs=2)
    np.testing.assert_array_equal(result.counts.toarray(), counts)
    assert result.motifs == tuple(m.name for m in motifs)


@st.composite
def motifs_and_sequences(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    motifs = []
    for number in range(draw(st.integers(1, 3))):
        length = draw(st.one_of(st.integers(1, 40), st.sampled_from([2, 3, 21, 33, 64])))
        rows = rng.choice([0.0, 0.001, 0.0005, 0.1, 0.25, 0.3, 0.997, 1.0, 1.3], size=(length, 4))
        flat = Motif(f"m{number}", rows, 0.0)
        kind = draw(st.sampled_from(["attained", "just above", "lowest", "highest", "impossible", "zero"]))
        word = "".join(rng.choice(BASES, size=length))
        score = slow_scan.word_score(word, flat)
        best = slow_scan.word_score("".join(BASES[rows.argmax(axis=1)]), flat)
        threshold = {
            "attained": score,
            "just above": math.nextafter(score, math.inf),
            "lowest": -1e6,
            "highest": best,
            "impossible": math.nextafter(best, math.inf),
            "zero": 0.0,
        }[kind]
        motifs.append(Motif(f"m{number}", rows, threshold))
    sequences = draw(
        st.lists(
            st.one_of(st.text(LETTERS, max_size=60), st.text("ACGT", max_size=90), st.text("ACGTacgt", max_size=400)),
            max_size=4,
        )
    )
    # Put consensus words in, forward and reverse: random text alone holds few hits of long motifs.
    for motif in motifs:
        word = "".join(BASES[motif.probabilities.argmax(axis=1)])
        turned = "".join(slow_scan.COMPLEMENT[c] for c in reversed(word))
        sequences = [s + draw(st.sampled_from(["", word, turned, word.lower(), word[:-1] + "N"])) for s in sequences]
    return motifs, sequences


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(motifs_and_sequences(), st.booleans())
def test_scanner_follows_the_rule(drawn, mask):
    motifs, sequences = drawn
    check(sequences, motifs, mask=mask)


def random_motif(rng, length, name, threshold):
    return Motif(name, rng.dirichlet([0.3] * 4, size=length).round(3), threshold)


@pytest.mark.parametrize("length", [1, 2, 7, 8, 20, 21, 32, 33, 63, 254, 255, 256, 257, 511, 600])
def test_every_length_and_the_runs_that_end_at_255(length):
    rng = np.random.default_rng(length)
    motif = random_motif(rng, length, "m", -3.0 * length)
    n = 1500 if length < 100 else length + 300  # the plain scanner takes length squared
    text = "".join(rng.choice(BASES, size=n))
    n_before_end = text[: n - length] + "N" + text[n + 1 - length :]
    check([text, n_before_end, text[:length], text[: length - 1], "N" + text[1:length], ""], [motif])


@pytest.mark.parametrize("n", [STEP - 1, STEP, STEP + 1, 3 * WIDTH, 16384 - 3, 16384, 16384 + 5, 2 * 16384 + 7])
def test_hits_across_the_borders_of_vectors_and_tiles(n):
    rng = np.random.default_rng(n)
    motif = random_motif(rng, 9, "m", 4.0)
    check(["".join(rng.choice(BASES, size=n)), "".join(rng.choice(BASES, size=40))], [motif])


def test_many_short_sequences_lie_in_one_tile():
    rng = np.random.default_rng(0)
    motifs = [random_motif(rng, n, f"m{n}", 1.0) for n in (6, 3)]
    check(["".join(rng.choice(BASES, size=n)) for n in rng.integers(0, 13, size=600)], motifs)


def test_a_palindrome_counts_twice_and_overlapping_hits_all_count():
    palindrome = Motif("p", np.eye(4)[["ACGT".index(c) for c in "ACGT"]], 1.0)
    repeat = Motif("r", np.eye(4)[["ACGT".index(c) for c in "AA"]], 1.0)
    counts = count_sequences(["ACGT", "AAAA", "tttA"], [palindrome, repeat]).counts.toarray()
    assert counts.tolist() == [[2, 0], [0, 3], [0, 2]]


def test_counts_of_one_name_are_summed_and_hits_keep_it():
    first = Motif("same", np.eye(4)[[0, 0]], 1.0)
    second = Motif("same", np.eye(4)[[1, 1]], 1.0)
    other = Motif("other", np.eye(4)[[0, 1]], 1.0)
    result = count_sequences(["AACC"], [first, other, second])
    assert result.motifs == ("same", "other")
    assert result.counts.toarray().tolist() == [[2, 1]]
    assert scan_sequences(["AACC"], [first, other, second])["motif"].tolist() == ["same", "other", "same"]


def test_the_byte_tables_let_few_false_candidates_through(real_data):
    """Exact rescoring hides a bad filter; only its speed would tell. So the filter itself is judged here."""
    from tilegrn.io import read_motifs

    with pytest.warns(UserWarning, match="name"):
        motifs = read_motifs(real_data("motifs/homer_v5.0.1_vertebrates_known.motifs"))
    profile = Profile.of(motifs)
    rng = np.random.default_rng(1)
    passed = hits = 0
    for i, motif in enumerate(motifs):
        # Words drawn from the motif, so that many score near the threshold.
        weights = np.maximum(motif.probabilities, 0.001)
        cumulative = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
        word = (rng.random((500, motif.length, 1)) > cumulative).sum(axis=2).clip(max=3)
        n_pairs = (motif.length + 1) // 2
        start = profile.table_start[i]
        table = profile.tables[start : start + 32 * n_pairs].reshape(n_pairs, 2, 16)[:, 0].astype(int)
        padded = np.hstack([word, np.zeros((500, motif.length % 2), dtype=int)])
        lost = table[np.arange(n_pairs), 4 * padded[:, 0::2] + padded[:, 1::2]].sum(axis=1)
        score = motif.log_odds[np.arange(motif.length), word].sum(axis=1)
        candidate = lost <= profile.limits[i]
        assert candidate[score >= motif.threshold + 1e-9].all()
        passed += candidate.sum()
        hits += (score >= motif.threshold).sum()
    assert hits > 100_000
    assert passed < 1.03 * hits


def test_nothing_to_scan_with_and_numbers_that_are_none():
    with pytest.raises(InputError, match="no motif"):
        scan_sequences(["ACGT"], [])
    with pytest.raises(InputError, match=r"'m'.*no finite number"):
        scan_sequences(["ACGT"], [Motif("m", np.full((3, 4), 0.25), math.nan)])
    with pytest.raises(InputError, match=r"'m'.*no finite number"):
        scan_sequences(["ACGT"], [Motif("m", np.array([[0.1, np.nan, 0.2, 0.3]]), 1.0)])


def test_no_sequence_gives_no_hit():
    motif = Motif("m", np.full((3, 4), 0.25), 0.0)
    assert len(scan_sequences([], [motif])) == 0
    assert count_sequences([], [motif]).shape == (0, 1)
    assert count_sequences(["", "AC"], [motif]).counts.toarray().tolist() == [[0], [0]]


def test_frames_of_counts():
    motifs = [Motif("a", np.eye(4)[[0]], 1.0), Motif("b", np.eye(4)[[1]], 1.0)]
    result = count_sequences(["AAC", "CCC"], motifs)
    assert result.to_frame().to_numpy().tolist() == [[2, 1], [0, 3]]
    long = result.to_long()
    assert long["interval"].tolist() == [0, 0, 1]
    assert long["motif"].tolist() == ["a", "b", "b"]
    assert long["count"].tolist() == [2, 1, 3]
    assert "2 intervals x 2 motifs, 6 hits" in repr(result)
