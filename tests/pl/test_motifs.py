"""Logos and loci: what is drawn, where, and what cannot be."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from tests._small import GENES, SIZES, TSS, small

from tilegrn import pp
from tilegrn.errors import InputError, MissingStepError
from tilegrn.motifs._motif import Motif
from tilegrn.pl._motifs import motif_hits, motif_logo

MOTIF = Motif("Sox2(HMG)/x/Homer", np.array([[1.0, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25] * 4, [0.1, 0.2, 0.3, 0.4]]), 1.0)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def letters(ax) -> dict[int, float]:
    """Stacked height of the letters of each position, above the axis."""
    out: dict[int, float] = {}
    for patch in ax.patches:
        box = patch.get_path().get_extents()
        position = round((box.x0 + box.x1) / 2)
        out[position] = max(out.get(position, 0.0), box.y1)
    return out


def test_logo_heights():
    tops = letters(motif_logo(MOTIF))
    entropy = -sum(p * np.log2(p) for p in (0.1, 0.2, 0.3, 0.4))
    assert tops[1] == pytest.approx(2.0)
    assert tops[2] == pytest.approx(1.0)
    assert tops.get(3, 0.0) == pytest.approx(0.0)
    assert tops[4] == pytest.approx(2 - entropy)
    for kind_tops in (letters(motif_logo(MOTIF, kind="probability")),):
        assert kind_tops == pytest.approx({1: 1.0, 2: 1.0, 3: 1.0, 4: 1.0})
    flipped = letters(motif_logo(MOTIF, reverse_complement=True))
    assert flipped[4] == pytest.approx(2.0)
    scores = letters(motif_logo(MOTIF, kind="score"))
    assert scores[1] == pytest.approx(np.log(4))


def test_logo_draws_on_given_axes_and_names_kinds():
    _, ax = plt.subplots()
    assert motif_logo(MOTIF, ax) is ax
    assert ax.get_title() == "Sox2"
    with pytest.raises(InputError, match="kind is 'bits'"):
        motif_logo(MOTIF, kind="bits")


def ready():
    mdata = small()
    pp.bin_peaks(mdata, SIZES)
    pp.tss_distance(mdata, TSS)
    return mdata


HITS = pd.DataFrame(
    {
        "chrom": ["chr1"] * 5 + ["chr2"],
        "position": [200, 300, 950, 950, 5000, 2100],
        "strand": ["+", "-", "+", "+", "+", "+"],
        "motif": ["A(Zf)/x/Homer", "A(Zf)/x/Homer", "B/y", "B/y", "B/y", "A(Zf)/x/Homer"],
        "sequence": ["ACGTA"] * 6,
    }
)


@pytest.mark.filterwarnings("ignore")
def test_locus_shows_hits_of_the_region_once():
    ax = motif_hits(ready(), "chr1:0-4000", hits=HITS)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["TSS", "windows", "peaks", "A", "B"]
    assert ax.get_title() == "3 hits of 2 motifs in 4 peaks"
    assert ax.get_xlim() == (0, 4000)
    drawn = sorted(
        (round(float(s[0, 0])), float(s[1, 1] - s[0, 1]) < 0)
        for c in ax.collections
        for s in c.get_segments()
        if s[0, 1] in (3.0, 4.0)
    )
    assert drawn == [(202, True), (302, False), (952, True)]
    texts = {t.get_text() for t in ax.texts}
    assert {"Ta", "G1"} <= texts


@pytest.mark.filterwarnings("ignore")
def test_locus_around_a_gene_and_fewer_rows():
    ax = motif_hits(ready(), gene="G1", flank=2800, hits=HITS, max_motifs=1)
    assert ax.get_xlim() == (200, 11800)
    assert ax.get_title().endswith("; the 1 with most hits")


@pytest.mark.filterwarnings("ignore")
def test_two_motifs_of_one_label_are_told_apart():
    hits = HITS.assign(motif=["Myc(bHLH)/ES-Myc(GSE1)/Homer", *["Myc(bHLH)/K562-Myc(GSE2)/Homer"] * 5])
    ax = motif_hits(ready(), ("chr1", 0, 4000), hits=hits)
    assert {t.get_text() for t in ax.get_yticklabels()[3:]} == {"Myc (ES-Myc)", "Myc (K562-Myc)"}


@pytest.mark.filterwarnings("ignore")
def test_hits_are_looked_for_in_the_peaks(tmp_path):
    rng = np.random.default_rng(0)
    sequence = "".join(rng.choice(list("ACGT"), SIZES["chr1"]))
    sequence = sequence[:250] + "GATTACAGATT" + sequence[261:2000] + "GATTACAGATT" + sequence[2011:]
    (tmp_path / "g.fa").write_text(f">chr1\n{sequence}\n")
    matrix = np.full((11, 4), 0.001)
    matrix[np.arange(11), ["ACGT".index(b) for b in "GATTACAGATT"]] = 0.997
    ax = motif_hits(ready(), "chr1:0-4000", fasta=tmp_path / "g.fa", motifs=[Motif("word", matrix, 15.0)])
    assert ax.get_title() == "1 hit of 1 motif in 4 peaks"  # the word at 2000 is in no peak
    ax = motif_hits(ready(), "chr1:3500-4400", fasta=tmp_path / "g.fa", motifs=[Motif("word", matrix, 15.0)])
    assert ax.get_title() == "0 hits of 0 motifs in 1 peak"


@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_drawn():
    mdata = ready()
    with pytest.raises(InputError, match="Name a region"):
        motif_hits(mdata, hits=HITS)
    with pytest.raises(InputError, match="Gene 'Nope' has no TSS"):
        motif_hits(mdata, gene="Nope", hits=HITS)
    with pytest.raises(InputError, match="No peak"):
        motif_hits(mdata, "chr1:5000-6000", hits=HITS)
    with pytest.raises(InputError, match="no interval"):
        motif_hits(mdata, "chr1", hits=HITS)
    with pytest.raises(InputError, match="Give fasta and motifs"):
        motif_hits(mdata, "chr1:0-4000")
    with pytest.raises(InputError, match=r"lacks the columns \['strand'\]"):
        motif_hits(mdata, "chr1:0-4000", hits=HITS.drop(columns="strand"))
    with pytest.raises(MissingStepError, match="tss_distance"):
        motif_hits(small(), gene=GENES[2], hits=HITS)


def test_before_any_step_peaks_and_hits_are_enough():
    ax = motif_hits(small(), "chr1:0-4000", hits=HITS)
    assert ax.get_title() == "3 hits of 2 motifs in 4 peaks"
