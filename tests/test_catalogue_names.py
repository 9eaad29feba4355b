"""Genes and chromosomes that names take for others: what must come of each, and that errors write nothing."""

import numpy as np
import pandas as pd
import pytest

import tilegrn as grn
from tests._build import BINDING, SIZES, TSS, binned, build, refused
from tilegrn.errors import InputError

# Genes that letter case alone tells apart: genes of the data, TSS table (gene: chrom, pos), who has which, who is named

CASES = {
    "two genes of the table, one of the data": (["DL", "G1"], ["Dl", "dl", "G1"], {"G1": 2}, "'DL' of the data"),
    "one gene of the table, two of the data": (["Dl", "dl", "G1"], ["DL", "G1"], {"G1": 1}, "'Dl', 'dl' of the data"),
    "two and two others": (["Dl", "dL", "G1"], ["DL", "dl", "G1"], {"G1": 2}, "'Dl', 'dL' of the data"),
    "one of two is exact": (["dl", "DL", "G1"], ["dl", "Dl", "G1"], {"dl": 0, "G1": 2}, "'DL' of the data"),
}


@pytest.mark.filterwarnings("ignore:.*have no TSS in the table")
@pytest.mark.parametrize("case", CASES)
def test_letter_case_is_no_guess_between_genes(case):
    genes, table, has, named = CASES[case]
    mdata = binned(build(genes=genes))
    with pytest.warns(UserWarning, match=rf"differ by letter case only.*{named}"):
        grn.pp.tss_distance(mdata, pd.DataFrame({"gene": table, "chrom": "chr1", "pos": range(100, 100 + len(table))}))
    record = mdata.uns["tilegrn"]["tss"]
    assert dict(zip(record["gene"], record["pos"] - 100, strict=True)) == has


def test_a_second_spelling_in_the_table_takes_nothing_from_an_exact_one():
    mdata = binned(build(genes=["Sox2", "G1"]))
    grn.pp.tss_distance(mdata, pd.DataFrame({"gene": ["SOX2", "Sox2", "G1"], "chrom": "chr1", "pos": [5, 6, 7]}))
    assert mdata.uns["tilegrn"]["tss"]["pos"].tolist() == [6, 7]
    undecided = pd.DataFrame({"gene": ["Dl", "dl"], "chrom": "chr1", "pos": [5, 6]})
    refused(binned(build(genes=["DL"])), lambda m: grn.pp.tss_distance(m, undecided), r"'Dl', 'dl' and 'DL' apart")


SPECIES = {
    "four human genes": (["GATA1", "SPI1", "CD79A", "RUNX1"], ["Gata1", "Spi1", "Cd79a", "Runx1"]),
    "two human genes": (["GATA1", "SPI1", "MT-CO1"], ["Gata1", "Spi1", "Sox2"]),
    "one spelt alike in both species": (["GATA1", "SPI1", "F3"], ["Gata1", "Spi1", "F3"]),
    "mouse genes": (["Gata1", "Spi1", "1700017B05Rik"], ["GATA1", "SPI1", "SOX2"]),
    "zebrafish": (["gata1", "spi1"], ["Gata1", "Spi1"]),
}


@pytest.mark.parametrize("case", SPECIES)
def test_a_table_of_another_species_is_refused(case):
    genes, names = SPECIES[case]
    table = pd.DataFrame({"gene": names, "chrom": "chr1", "pos": 100})
    message = (
        rf"of another species.*spelt alike, and [2-4] differ by letter case.*'{genes[0]}'.*'{names[0]}'.*var_names"
    )
    refused(binned(build(genes=genes)), lambda m: grn.pp.tss_distance(m, table), message, InputError)


def test_the_mend_that_the_refusal_gives_works():
    mdata = binned(build(genes=["GATA1", "SPI1", "H2-AB1"]))
    tss = pd.DataFrame({"gene": ["Gata1", "Spi1", "H2-Ab1"], "chrom": "chr1", "pos": 100})
    with pytest.raises(InputError) as error:
        grn.pp.tss_distance(mdata, tss)
    mend = str(error.value).split("as it does: ")[1].removesuffix(".").removesuffix("; mdata.update()")
    exec(mend, {"grn": grn, "mdata": mdata, "tss": tss})
    grn.pp.tss_distance(mdata, tss)
    assert list(mdata["rna"].var_names) == ["Gata1", "Spi1", "H2-Ab1"]


@pytest.mark.parametrize(("windows", "tss"), [("hg19", "hg38"), ("mm39", "mm10"), ("mm9", "mm10")])
def test_tss_of_another_assembly_than_the_windows_are_refused(windows, tss):
    genes = ["Sox2", "Xkr4", "Rp1"] if tss == "mm10" else ["SOX2", "GATA1", "SPI1"]
    peaks = ["chr1:3000000-3000500", "chr3:34000000-34000500", "chr11:47000000-47000500"]
    refused(
        binned(build(peaks=peaks, genes=genes), windows),
        lambda m: grn.pp.tss_distance(m, tss),
        rf"windows are of {windows} and the TSSs of {tss}: chr1 has \d+ bp",
        InputError,
    )
    chrom19 = {"chr19": grn.io.read_chrom_sizes(tss)["chr19"] - 1}
    refused(
        binned(build(peaks=["chr19:5000000-5000500"], genes=["Ahnak", "TBXA2R"]), chrom19),
        lambda m: grn.pp.tss_distance(m, tss),
        r"another assembly and the TSSs of",
        InputError,
    )


@pytest.mark.parametrize("spelling", ["chr", ""])
@pytest.mark.parametrize("sizes", ["mm10", "mm39", "mm9"])
def test_one_peak_on_a_human_chromosome_tells_the_species(sizes, spelling):
    names = [f"{spelling}{c}:{s}-{s + 300}" for c in range(1, 12) for s in range(5_000_000, 5_040_000, 1000)]
    named = grn.io.read_chrom_sizes(sizes)
    own = named if spelling else {c.removeprefix("chr"): n for c, n in named.items()}
    for given in (named, own):
        mdata = build(peaks=[*names, f"{spelling}20:5-99"])
        refused(mdata, lambda m, g=given: grn.pp.bin_peaks(m, g), r"1 of 441 peaks lie on (chr)?20, which mm.*'hg38'")


def test_ensembl_peaks_with_a_contig_in_common_get_windows():
    plain = binned()
    names = [n.removeprefix("chr") for n in plain["atac"].var_names]
    sizes = {**SIZES, "GL456210.1": 900, "chrM": 700}
    mdata = build(peaks=[*names, "GL456210.1:5-99", "MT:10-60"])
    with pytest.warns(UserWarning, match="contigs|mitochondrial"):
        grn.pp.bin_peaks(mdata, sizes)
    assert (np.diff(mdata["atac"].varm["windows"].indptr) == 1).all()
    tss = pd.concat([TSS.assign(chrom=TSS["chrom"].str[3:]), TSS.tail(1).assign(chrom="GL456210.1", pos=3)])
    grn.pp.tss_distance(mdata, tss)
    assert set(mdata.uns["tilegrn"]["tss"]["chrom"]) == {"chr1", "chr2", "GL456210.1"}
    mixed = TSS.assign(chrom=["1", "chr1", "chr1", "chr2"])
    refused(binned(), lambda m: grn.pp.tss_distance(m, mixed), r"Chromosome '1' of 1 TSSs.*did you mean 'chr1'")


def test_a_tf_that_was_removed_leaves_nothing_to_its_namesake():
    mdata = binned(build(genes=["Dl", "dl", "G1"]))
    grn.pp.tss_distance(mdata, pd.DataFrame({"gene": ["Dl", "dl", "G1"], "chrom": "chr1", "pos": [5, 6, 7]}))
    grn.pp.add_binding(mdata, pd.concat([BINDING.assign(source_id=n) for n in ("Dl", "G1")]))
    mdata.mod["rna"] = mdata["rna"][:, ["dl", "G1"]].copy()
    scores = grn.tl.potentials(mdata).scores()
    assert set(scores["source_id"].astype(str)) == {"G1"}
