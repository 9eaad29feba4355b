"""Bad and odd peaks, assemblies and genes, one row each: what must come of it, and that errors write nothing.

An error names value and mend, a warning counts, and where the input is handled the result is checked.
"""

import gzip
import logging

import numpy as np
import pandas as pd
import pytest

import tilegrn as grn
from tests._build import BINDING, SIZES, TSS, binned, build, refused, with_names
from tilegrn.errors import InputError

MM10, HG38 = grn.io.read_chrom_sizes("mm10"), grn.io.read_chrom_sizes("hg38")

# Errors in peaks and assemblies: peak names, chromosome sizes, what the message must hold

PLAIN = ["chr1:100-600"]
MANY = [f"chr1:{i}-{i + 50}" for i in range(0, 4000, 100)]  # 40 peaks
BAD_PEAKS = {
    "misspelt chromosome": (["Chr1L:100-600"], SIZES, r"'Chr1L' of 1 peaks.*did you mean 'chr1'\? Rename it"),
    "upper case": ([*PLAIN, "CHR2:1-9"], SIZES, r"'CHR2'.*did you mean 'chr2'"),
    "some without chr": ([*PLAIN, "2:1-9"], SIZES, r"'2' of 1 peaks.*did you mean 'chr2'"),
    "mapping not total": (["1:1-9", "77:1-9"], SIZES, r"Chromosome '1'|'1', '77'"),
    "bytes": ([*PLAIN, "b'chr1:700-800'"], SIZES, r"b'chr1:700-800'.*Decode them"),
    "past the end": ([*PLAIN, "chr2:4900-5100"], SIZES, r"chr2:4900-5100 ends 100 bp past chr2 \(5000 bp"),
    "start is end": ([*PLAIN, "chr1:5-5"], SIZES, r"'chr1:5-5'.*start >= end"),
    "start after end": ([*PLAIN, "chr1:9-5"], SIZES, r"'chr1:9-5'.*start >= end"),
    "negative": ([*PLAIN, "chr1:-5-9"], SIZES, r"'chr1:-5-9'.*negative position"),
    "1e6": ([*PLAIN, "chr1:1e3-2e3"], SIZES, r"'chr1:1e3-2e3'.*whole number"),
    "1.5": ([*PLAIN, "chr1:1.5-3.5"], SIZES, r"'chr1:1.5-3.5'.*whole number"),
    "a gene": ([*PLAIN, "Sox9"], SIZES, r"'Sox9' \(number 1\).*chrom:start-end"),
    "duplicate in two spellings": ([*PLAIN, "chr1_100_600"], SIZES, r"'chr1:100-600'.*'chr1_100_600'.*same interval"),
    "6 % on absent chromosomes": ([*MANY, "chr3:1-9", "chr4:1-9", "chr5:1-9"], SIZES, r"3 of 43.*chr3, chr4, chr5.*5%"),
    "all on absent contigs": (["GL1.1:1-9"], SIZES, r"1 of 1.*GL1\.1"),
    "mm10 peaks on mm39": (
        [f"chr1:{MM10['chr1'] - 500}-{MM10['chr1']}"],
        "mm39",
        r"ends 317692 bp past chr1.*fit mm10",
    ),
    "mm9 peaks on mm10": (["chr1:197195000-197195400"], "mm10", r"past chr1.*mm9: is that the assembly"),
    "hg38 peaks on hg19": ([f"chr17:{HG38['chr17'] - 99}-{HG38['chr17']}"], "hg19", r"past chr17.*fit hg38"),
    "human peaks on mm10": (["chr1:1-9", "chr20:1-9"], "mm10", r"chr20"),
    "unknown assembly": (PLAIN, "mm11", r"'mm11'. Known are mm10"),
    "zero size": (PLAIN, {"chr1": 0}, "which is zero"),
    "negative size": (PLAIN, {"chr1": -1}, "which is negative"),
    "size no integer": (PLAIN, {"chr1": 1e6}, "digits only"),
    "no sizes": (PLAIN, {}, "holds no chromosome sizes"),
}


@pytest.mark.parametrize("case", BAD_PEAKS)
def test_peaks_and_assemblies_that_are_refused(case):
    names, sizes, message = BAD_PEAKS[case]
    refused(build(peaks=names), lambda m: grn.pp.bin_peaks(m, sizes), message, InputError)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chr1\t10500\nchr1\t9\n", r"line 2: chromosome 'chr1' stands there twice"),
        ("chr1\t10500\t9\n", r"line 1: 3 columns where 2"),
        ("chr1 10500\n", r"line 1: columns are separated by spaces"),
        ("chr1\t0\n", "which is zero"),
        ("", "holds no chromosome sizes"),
    ],
)
def test_size_files_that_are_refused(tmp_path, text, message):
    path = tmp_path / "x.sizes"
    path.write_text(text)
    refused(build(peaks=PLAIN), lambda m: grn.pp.bin_peaks(m, path), message, InputError)


@pytest.mark.filterwarnings("ignore:.*not unique:UserWarning")
def test_duplicate_peak_names_are_refused():
    mdata = build()
    names = list(mdata["atac"].var_names)
    with_names(mdata, "atac", "var_names", [names[0], names[0], *names[2:]])
    refused(
        mdata,
        lambda m: grn.pp.bin_peaks(m, SIZES),
        r"'chr1:100-600' \(number 0\).*duplicates|duplicates.*same interval",
    )


WARNED_PEAKS = {
    "5 % on absent chromosomes": ([*MANY, "chr3:1-9", "chr4:1-9"], SIZES, r"2 of 42 peaks.*are not in.*: chr3, chr4"),
    "contigs": (
        ["chr1:1-9", "chr1_GL456210_random:1-9"],
        {**SIZES, "chr1_GL456210_random": 99},
        r"1 of 2 peaks lie on contigs",
    ),
    "mitochondria": (["chr1:1-9", "chrM:1-9"], {**SIZES, "chrM": 99}, r"1 of 2 peaks lie on the mitochondrial genome"),
}


@pytest.mark.parametrize("case", WARNED_PEAKS)
def test_peaks_that_are_warned_of(case):
    names, sizes, message = WARNED_PEAKS[case]
    mdata = build(peaks=names)
    with pytest.warns(UserWarning, match=message):
        grn.pp.bin_peaks(mdata, sizes)
    membership = mdata["atac"].varm["windows"]
    on_known = [n.split(":")[0] in sizes for n in names]
    assert np.diff(membership.indptr).tolist() == [int(k) for k in on_known]


SPELLINGS = {
    "dashes": lambda n: n.replace(":", "-"),
    "underscores": lambda n: n.replace(":", "_").replace("-", "_"),
    "commas": lambda n: n.replace("1200", "1,200").replace("1800", "1,800").replace("2000", "2,000"),
    "without chr": lambda n: n.removeprefix("chr"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spellings_of_peaks_give_the_same_windows(spelling, caplog):
    plain = binned()
    names = [SPELLINGS[spelling](n) for n in plain["atac"].var_names]
    with caplog.at_level(logging.INFO):
        other = binned(build(peaks=names))
    assert (plain["atac"].varm["windows"] != other["atac"].varm["windows"]).nnz == 0
    assert ("named '1'" in caplog.text) == (spelling == "without chr")


def test_a_peak_across_windows_and_one_in_the_short_last_window():
    mdata = binned(build(peaks=["chr1:1900-2500", "chr1:10100-10500"]))
    windows = grn.get.windows(mdata)
    names = windows.index if windows.index.dtype == object or windows.index.dtype == "str" else windows["name"]
    assert {"chr1:2000-3000", "chr1:10000-10500"} <= set(map(str, names))


def test_one_based_names_from_homer_are_told_from_bed(tmp_path):
    table = BINDING.assign(peak_id=["chr1:101-600"])
    refused(binned(), lambda m: grn.pp.add_binding(m, table), r"1-based.*subtract 1 from each start")


# Assemblies of other inputs


def test_tss_of_another_assembly_are_refused():
    far = TSS.assign(pos=[50, 900, 3000, 5_000_000])
    refused(
        binned(), lambda m: grn.pp.tss_distance(m, far), r"1 of 4 TSSs.*chr2:5000000-5000001 ends 4995001 bp past chr2"
    )
    human = build(peaks=["chr1:100-600"], genes=["Sox2", "KIF26B"])  # KIF26B: beyond the end of mm10's chr1
    binned(human, "mm10")
    refused(human, lambda m: grn.pp.tss_distance(m, "hg38"), r"past the end.*mm10|past chr1")


def test_fasta_of_another_assembly_is_refused(tmp_path):
    fasta, motifs = tmp_path / "x.fa", tmp_path / "x.motif"
    motifs.write_text(">ACGT\tSox2(HMG)/x/Homer\t3.0\n" + "0.97\t0.01\t0.01\t0.01\n" * 4)
    fasta.write_text(">chr1\n" + "ACGTACGTAC\n" * 50 + ">chr2\n" + "ACGTACGTAC\n" * 500)
    refused(binned(), lambda m: grn.pp.homer_binding(m, fasta, motifs), r"chr1")
    fasta.write_text(">chr1\n" + "ACGTACGTAC\n" * 1050)
    refused(binned(), lambda m: grn.pp.homer_binding(m, fasta, motifs), r"chr2")


# Genes and TFs


@pytest.mark.filterwarnings("ignore:.*not unique:UserWarning")
@pytest.mark.parametrize("step", ["tss_distance", "add_binding"])
def test_duplicate_symbols_are_refused_and_never_suffixed(step):
    mdata = binned()
    with_names(mdata, "rna", "var_names", ["Sox2", "Sox2", "G1", "G2"])
    call = {
        "tss_distance": lambda m: grn.pp.tss_distance(m, TSS),
        "add_binding": lambda m: grn.pp.add_binding(m, BINDING),
    }[step]
    refused(mdata, call, r"1 gene names occur more than once, e\.g\. \['Sox2'\]\. Merge them", InputError)


def test_ensembl_versions_are_cut_off_and_dots_in_symbols_kept():
    genes = ["ENSMUSG00000074637.8", "RP11-34P13.7", "AC1.1"]
    tss = pd.DataFrame({"gene": ["ENSMUSG00000074637.3", "RP11-34P13.7", "AC1"], "chrom": "chr1", "pos": [50, 900, 70]})
    mdata = binned(build(genes=genes))
    with pytest.warns(UserWarning, match=r"1 of 3 genes have no TSS in the table, e\.g\. \['AC1\.1'\]"):
        grn.pp.tss_distance(mdata, tss)
    assert (np.diff(mdata["rna"].varm["tss_distance"].indptr) > 0).tolist() == [True, True, False]


def test_identifiers_that_collide_without_version_are_refused():
    mdata = binned(build(genes=["ENSMUSG00000074637.8", "ENSMUSG00000074637.9"]))
    tss = pd.DataFrame({"gene": ["ENSMUSG00000074637"], "chrom": "chr1", "pos": [50]})
    refused(mdata, lambda m: grn.pp.tss_distance(m, tss), r"'ENSMUSG00000074637\.8' and 'ENSMUSG00000074637\.9'.*Merge")
    twice = pd.DataFrame({"gene": ["ENSMUSG00000074637.1", "ENSMUSG00000074637.2"], "chrom": "chr1", "pos": [5, 6]})
    refused(binned(), lambda m: grn.pp.tss_distance(m, twice), r"two versions. Keep one")


def test_letter_case_is_forgiven_where_unique():
    mdata = binned()
    with pytest.warns(
        UserWarning, match=r"2 genes take the TSSs of a name that differs by letter case only, e\.g\. 'Sox2'"
    ):
        grn.pp.tss_distance(mdata, TSS.assign(gene=TSS["gene"].str.upper()))
    assert (np.diff(mdata["rna"].varm["tss_distance"].indptr) > 0).all()
    grn.pp.mark_tfs(mdata, ["SOX2"])
    assert mdata["rna"].var["is_tf"].tolist() == [True, False, False, False]
    both = binned(build(genes=["Sox2", "SOX2", "G1"]))
    grn.pp.mark_tfs(both, ["SOX2"])  # exact
    assert both["rna"].var["is_tf"].tolist() == [False, True, False]
    refused(binned(build(genes=["Sox2", "SOX2", "G1"])), lambda m: grn.pp.mark_tfs(m, ["sox2"]), "None of the 1 TFs")


MOTIFS = {
    "Sox2(HMG)/mES-Sox2-ChIP-Seq(GSE11431)/Homer": {"Sox2"},
    "Oct4(POU,Homeobox)/mES-Oct4-ChIP-Seq(GSE11431)/Homer": {"Pou5f1"},
    "Oct4-Sox2": {"Pou5f1", "Sox2"},
    "OCT4-SOX2-TCF-NANOG(POU,Homeobox,HMG)/mES-Oct4-ChIP-Seq(GSE11431)/Homer": {"Pou5f1", "Sox2"},
    "SOX2": {"Sox2"},
}


@pytest.mark.parametrize("name", MOTIFS)
def test_motif_names_find_their_genes(name):
    mdata = binned()
    grn.pp.add_binding(mdata, BINDING.assign(source_id=[name]))
    rna = mdata["rna"]
    assert set(rna.var_names[rna.var["is_tf"]]) == MOTIFS[name]
    assert set(mdata.uns["tilegrn"]["binding"]["tfs"]) == MOTIFS[name]


def test_motifs_that_are_nobodys_are_reported_and_kept():
    table = pd.concat([BINDING, BINDING.assign(source_id=["ZNF0-unheard/of"])])
    mdata = binned()
    with pytest.warns(
        UserWarning, match=r"1 motif or TF names resolve to no gene symbol, e\.g\. \['ZNF0-unheard/of'\].*aliases"
    ):
        grn.pp.add_binding(mdata, table)
    assert list(mdata.uns["tilegrn"]["binding"]["unresolved"]) == ["ZNF0-unheard/of"]
    refused(binned(), lambda m: grn.pp.add_binding(m, table.iloc[1:]), r"ZNF0-unheard/of.*aliases=")


def test_tfs_of_other_symbols_are_found_or_reported_absent():
    mdata = binned(build(genes=["Tfap2a", "Stat3", "G1"]))
    names = [
        "AP-2alpha(AP2)/Hela-AP2alpha-ChIP-Seq(GSE31477)/Homer",
        "Stat3+il21(Stat)/CD4-Stat3-ChIP-Seq(GSE19198)/Homer",
    ]
    grn.pp.add_binding(mdata, pd.concat([BINDING.assign(source_id=[n]) for n in names]))
    assert set(mdata.uns["tilegrn"]["binding"]["tfs"]) == {"Tfap2a", "Stat3"}


def test_a_tf_without_a_motif_is_warned_of():
    mdata = binned()
    grn.pp.mark_tfs(mdata, ["Pou5f1"])
    with pytest.warns(UserWarning, match=r"1 genes marked as TFs have no motif .*\['Pou5f1'\]"):
        grn.pp.add_binding(mdata, BINDING)


def test_a_gene_out_of_reach_is_warned_of_and_has_no_windows():
    mdata = binned()
    with pytest.warns(UserWarning, match=r"1 of 4 genes have no window with a peak within 1000 bp, e\.g\. \['G1'\]"):
        grn.pp.tss_distance(mdata, TSS.assign(pos=[50, 900, 9000, 2300]), max_distance=1000)
    assert (np.diff(mdata["rna"].varm["tss_distance"].indptr) > 0).tolist() == [True, True, False, True]


def test_several_tss_follow_the_documented_rule():
    tss = pd.concat([TSS, TSS.iloc[:1].assign(pos=4000)])
    scores = {}
    for rule in ("nearest", "all"):
        mdata = binned()
        grn.pp.tss_distance(mdata, tss, multiple=rule)
        found = grn.get.window_tg(mdata)
        found = found[found["target_id"] == mdata["rna"].var_names[0]]
        assert found["TSS_dist"].tolist()[:2] == [0, 950]
        scores[rule] = found["TSS_dist_score"].to_numpy()
    np.testing.assert_allclose(scores["nearest"][:2], [1, np.exp(-950 / 25_000)], rtol=1e-6)
    np.testing.assert_allclose(
        scores["all"][:2], [1 + np.exp(-3001 / 25_000), np.exp(-950 / 25_000) + np.exp(-2001 / 25_000)], rtol=1e-6
    )


def test_genes_of_another_kind_are_refused():
    refused(
        binned(), lambda m: grn.pp.tss_distance(m, TSS.assign(gene=["W", "X", "Y", "Z"])), r"None of the 4 genes.*'W'"
    )


def test_a_gzipped_tss_file_with_windows_line_ends(tmp_path):
    path = tmp_path / "tss.bed.gz"
    text = "track name=x\r\n" + "".join(f"{r.chrom}\t{r.pos}\t{r.pos + 1}\t{r.gene}\r\n" for r in TSS.itertuples())
    path.write_bytes(gzip.compress(("\ufeff" + text).encode()))
    a, b = binned(), binned()
    grn.pp.tss_distance(a, path)
    grn.pp.tss_distance(b, TSS)
    assert (a["rna"].varm["tss_distance"] != b["rna"].varm["tss_distance"]).nnz == 0
    assert a.uns["tilegrn"]["tss"]["sha256"] == b.uns["tilegrn"]["tss"]["sha256"]
