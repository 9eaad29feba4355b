"""Motif names to gene symbols: rules, table, and agreement with HOMER's own tables."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from importlib import resources

import pytest

from tilegrn.errors import InputError
from tilegrn.motifs import _resolve
from tilegrn.motifs._resolve import resolve

# fmt: off
HUMAN = [
    "SOX2", "POU5F1", "SPI1", "IRF4", "IRF8", "FOS", "FOSB", "FOSL1", "FOSL2", "JUN", "JUNB", "JUND", "NFIA", "NFIB",
    "NFIC", "NFIX", "NF1", "SF1", "NR5A1", "NR3C1", "TFAP2A", "STAT3", "IL21", "TCF3", "TCF4", "TCF12", "TCF7L1",
    "TP53", "TBXT", "NKX2-1", "HIF1A", "ARNT", "CTCF", "GATA1", "GATA2", "GATA3", "GATA4", "GATA5", "GATA6", "TAL1",
    "ATF3", "E2F1", "NANOG", "RXRA", "RARA", "NR1H2", "FLI1", "EWSR1", "SOX17", "ZNF281", "NFE2", "MAFK", "USF1",
    "USF2", "MYC", "MAX", "HSF1", "POU3F3", "RUNX1", "RUNX2", "RUNX3", "PAX3", "FOXO1", "BMAL1",
]
# fmt: on
MOUSE = [g.capitalize() for g in HUMAN if g not in ("TP53", "ZNF281", "TBXT")] + ["Trp53", "Zfp281", "T"]

AP1 = ("FOS", "FOSB", "FOSL1", "FOSL2", "JUN", "JUNB", "JUND")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Sox2(HMG)/mES-Sox2-ChIP-Seq(GSE11431)/Homer", ("SOX2",)),
        ("Oct4(POU,Homeobox)/mES-Oct4-ChIP-Seq(GSE11431)/Homer", ("POU5F1",)),
        ("PU.1(ETS)/ThioMac-PU.1-ChIP-Seq(GSE21512)/Homer", ("SPI1",)),
        ("PU.1-IRF(ETS:IRF)/Bcell-PU.1-ChIP-Seq(GSE21512)/Homer", ("SPI1", "IRF4", "IRF8")),
        ("AP-1(bZIP)/ThioMac-PU.1-ChIP-Seq(GSE21512)/Homer", AP1),
        ("NF1(CTF)/LNCAP-NF1-ChIP-Seq(Unpublished)/Homer", ("NFIA", "NFIB", "NFIC", "NFIX")),
        ("NF1-halfsite(CTF)/LNCaP-NF1-ChIP-Seq(Unpublished)/Homer", ("NFIA", "NFIB", "NFIC", "NFIX")),
        ("SF1(NR)/H295R-Nr5a1-ChIP-Seq(GSE44220)/Homer", ("NR5A1",)),
        ("GRE(NR),IR3/A549-GR-ChIP-Seq(GSE32465)/Homer", ("NR3C1",)),
        ("AP-2alpha(AP2)/Hela-AP2alpha-ChIP-Seq(GSE31477)/Homer", ("TFAP2A",)),
        ("Stat3+il21(Stat)/CD4-Stat3-ChIP-Seq(GSE19198)/Homer", ("STAT3",)),
        ("Tcf3(HMG)/mES-Tcf3-ChIP-Seq(GSE11724)/Homer", ("TCF7L1",)),
        ("E2A(bHLH),near_PU.1/Bcell-PU.1-ChIP-Seq(GSE21512)/Homer", ("TCF3",)),
        ("p53(p53)/Saos-p53-ChIP-Seq/Homer", ("TP53",)),
        ("Brachyury(T-box)/Mesoendoderm-Brachyury-ChIP-exo(GSE54963)/Homer", ("TBXT",)),
        ("Nkx2.1(Homeobox)/LungAC-Nkx2.1-ChIP-Seq(GSE43252)/Homer", ("NKX2-1",)),
        ("HIF-1a(bHLH)/MCF7-HIF1a-ChIP-Seq(GSE28352)/Homer", ("HIF1A",)),
        ("GATA:SCL(Zf,bHLH)/Ter119-SCL-ChIP-Seq(GSE18720)/Homer", ("GATA1", "TAL1")),
        ("GATA(Zf),IR3/iTreg-Gata3-ChIP-Seq(GSE20898)/Homer", ("GATA3",)),
        ("Oct4:Sox17(POU,Homeobox,HMG)/F9-Sox17-ChIP-Seq(GSE44553)/Homer", ("POU5F1", "SOX17")),
        ("EWS:FLI1-fusion(ETS)/SK_N_MC-EWS:FLI1-ChIP-Seq(SRA014231)/Homer", ("FLI1",)),
        ("OCT:OCT(POU,Homeobox)/NPC-Brn1-ChIP-Seq(GSE35496)/Homer", ("POU3F3",)),
        ("E-box(bHLH)/Promoter/Homer", ("USF1", "USF2", "MYC", "MAX")),
        ("HRE(HSF)/HepG2-HSF1-ChIP-Seq(GSE31477)/Homer", ("HSF1",)),
        ("HRE", ("HIF1A", "ARNT")),
        ("Pax3:FKHR-fusion(Paired,Homeobox)/x/Homer", ("PAX3", "FOXO1")),
        ("Oct4-Sox2", ("POU5F1", "SOX2")),
        (
            "OCT4-SOX2-TCF-NANOG(POU,Homeobox,HMG)/mES-Oct4-ChIP-Seq(GSE11431)/Homer",
            ("POU5F1", "SOX2", "TCF7L1", "NANOG"),
        ),
        ("Atf3", ("ATF3",)),
        ("E2f1", ("E2F1",)),
        ("Tcf3", ("TCF3",)),
        ("Tcf4", ("TCF4",)),
        ("MA0139.1 CTCF", ("CTCF",)),
        ("MA0139.1_CTCF", ("CTCF",)),
        ("MA0035.4 MA0035.4.GATA1", ("GATA1",)),
        ("MA0035.4.GATA1", ("GATA1",)),
        ("MA0035.4\tGATA1", ("GATA1",)),
        ("MA0035.GATA1", ("GATA1",)),
        ("ma0035.4_MA0035.4.GATA1", ("GATA1",)),
        ("MA0159.1 MA0159.1.RARA::RXRA", ("RARA", "RXRA")),
        ("MA0159.1.RARA::RXRA", ("RARA", "RXRA")),
        ("MA0099.3 MA0099.3.FOS::JUN(var.2)", ("FOS", "JUN")),
        ("FOS::JUN", ("FOS", "JUN")),
        ("FOS::JUN(var.2)", ("FOS", "JUN")),
        ("MA0159.1 RARA::RXRA", ("RARA", "RXRA")),
        ("CTCF_HUMAN.H11MO.0.A", ("CTCF",)),
        ("GATA1.H12CORE.0.P.B", ("GATA1",)),
        ("Arntl", ("BMAL1",)),
        ("BMAL1(bHLH)/Liver-Bmal1-ChIP-Seq(GSE39860)/Homer", ("BMAL1",)),
        ("Zfp281(Zf)/ES-Zfp281-ChIP-Seq(GSE81042)/Homer", ("ZNF281",)),
        ("ZNF281", ("ZNF281",)),
        ("NFE2", ("NFE2",)),
        ("NF-E2(bZIP)/K562-NFE2-ChIP-Seq(GSE31477)/Homer", ("NFE2", "MAFK")),
        ("C/EBPalpha", ()),
    ],
)
def test_names_of_both_species(name, expected):
    human = resolve([name], HUMAN)
    assert human.tfs.get(name, ()) == expected
    if not expected:
        assert human.absent[name] == ("CEBPA",)
    other = {"TP53": "Trp53", "ZNF281": "Zfp281", "TBXT": "T"}
    mouse = resolve([name], MOUSE)
    assert mouse.tfs.get(name, ()) == tuple(other.get(s, s.capitalize()) for s in expected)


def test_every_name_is_accounted_for():
    names = [
        "Sox2",
        "Unknown(Homeobox)/Limb-p300-ChIP-Seq/Homer",
        "Zic3",
        "AP-1",
        "Blub7",
        "",
        "Sox2:Blub7",
        "RUNX",
        "ETS",
    ]
    found = resolve(names, HUMAN)
    assert found.unresolved == ["Unknown(Homeobox)/Limb-p300-ChIP-Seq/Homer", "Blub7", ""]
    assert found.absent["Zic3"] == ("ZIC3",)
    assert "Zic3" not in found.tfs
    assert found.tfs["Sox2:Blub7"] == ("SOX2",)
    assert found.lost_parts == {"Sox2:Blub7": ("Blub7",)}
    assert set(found.tfs) | set(found.absent) | set(found.unresolved) == set(names)
    report = found.report().set_index("motif")
    assert len(report) == len(names)
    assert report.loc["Sox2", "status"] == "resolved"
    assert report.loc["Zic3", "status"] == "absent"
    assert report.loc["Blub7", "status"] == "unresolved"
    assert report.loc["Sox2:Blub7", "status"] == "partly"
    assert report.loc["AP-1", "tfs"] == ",".join(AP1)


def test_letter_case_only_where_unique():
    assert resolve(["Sox2"], ["SOX2", "x"]).tfs == {"Sox2": ("SOX2",)}
    assert resolve(["Sox2"], ["SOX2", "Sox2"]).tfs == {"Sox2": ("Sox2",)}
    assert resolve(["sOx2"], ["SOX2", "Sox2"]).absent == {"sOx2": ("sOx2",)}


def test_a_gene_that_is_no_tf_is_itself_but_not_by_its_condition():
    assert resolve(["IL21", "Stat3+il21"], HUMAN).tfs == {"IL21": ("IL21",), "Stat3+il21": ("STAT3",)}


def test_users_aliases_come_first():
    name = "Oct4(POU,Homeobox)/mES-Oct4-ChIP-Seq(GSE11431)/Homer"
    assert resolve([name], HUMAN, aliases={"oct4": "SOX2"}).tfs[name] == ("SOX2",)
    assert resolve([name], HUMAN, aliases={name: ["SOX2", "NANOG"]}).tfs[name] == ("SOX2", "NANOG")
    assert resolve(["NF1"], HUMAN, aliases={"NF1": "NF1"}).tfs["NF1"] == ("NF1",)
    assert resolve(["Blub7"], HUMAN, aliases={"Blub7": "sox2"}).tfs["Blub7"] == ("SOX2",)
    dropped = resolve([name, "AP-1"], HUMAN, aliases={"Oct4": ()})
    assert name not in dropped.tfs
    assert name not in dropped.unresolved
    assert "AP-1" in dropped.tfs
    assert resolve(["x"], HUMAN, aliases={"x": "NOGENE"}).absent == {"x": ("NOGENE",)}


def test_names_of_no_known_tf_that_differ_in_case_are_two_genes():
    assert resolve(["Dl", "dl"], ["Dl", "dl"]).tfs == {"Dl": ("Dl",), "dl": ("dl",)}
    one = resolve(["Dl", "dl"], ["Dl", "x"])
    assert one.tfs == {"Dl": ("Dl",)}
    assert one.absent == {"dl": ("dl",)}
    none = resolve(["DL"], ["Dl", "dl"])
    assert none.absent == {"DL": ("DL",)}
    assert none.ambiguous == [(("DL",), ("Dl", "dl"))]
    assert resolve(["Dl", "dl"], ["DL"]).ambiguous == [(("Dl", "dl"), ("DL",))]
    alone = resolve(["dl"], ["Dl", "x"])
    assert alone.tfs == {"dl": ("Dl",)}
    assert alone.folded == {"dl": "Dl"}


def test_a_known_tf_is_one_gene_in_any_case():
    found = resolve(["GLI3", "Gli3"], ["Gli3", "x"])
    assert found.tfs == {"GLI3": ("Gli3",), "Gli3": ("Gli3",)}
    assert not found.folded
    assert resolve(["sOx2"], ["SOX2", "Sox2"]).ambiguous == [(("sOx2",), ("SOX2", "Sox2"))]


def test_aliases_that_differ_in_case_are_two():
    found = resolve(["Blub", "bLUB", "BLUB"], ["a", "b"], aliases={"Blub": "a", "bLUB": "b"})
    assert found.tfs == {"Blub": ("a",), "bLUB": ("b",)}
    assert found.unresolved == ["BLUB"]


def test_no_symbols():
    with pytest.raises(InputError, match="no gene symbols"):
        resolve(["Sox2"], [])


def test_tables_are_consistent():
    lines = resources.files("tilegrn.motifs").joinpath("aliases.tsv").read_text(encoding="utf-8").splitlines()
    keys = Counter(_resolve._key(line.split("\t")[0]) for line in lines[1:] if not line.startswith("#"))
    assert [k for k, n in keys.items() if n > 1] == []
    aliases, known, others = _resolve._tables()
    targets = {s for symbols in aliases.values() for s in symbols}
    assert {s for s in targets if _resolve._key(s) not in known} == set()
    for symbols in aliases.values():
        assert len(set(symbols)) == len(symbols)
    # A label in the table must not hide a TF's own symbol; NF1 and SF1 are symbols of genes that are no TFs.
    assert {k for k in aliases if k in known and aliases[k] != (known[k],)} == set()
    assert {o for other in others.values() for o in other if o in others} == set()


def _symbols(path) -> list[str]:
    with gzip.open(path, "rt") as handle:
        return sorted({line.split("\t")[3].strip() for line in handle})


@pytest.fixture(scope="module")
def reference(real_data):
    with real_data("motifs/homer_motif_to_symbol.tsv").open() as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    return {r["motif"]: set(filter(None, (r["human_symbols"] or "").split(","))) for r in rows}


SAME_GENE = {"ARNTL": "BMAL1", "T": "TBXT"}
# Where the reference and this table name different genes, and why this table keeps its own.
DISAGREE = {
    "Mouse_Recombination_Hotspot(Zf)/Testis-DMC1-ChIP-Seq(GSE24438)/Homer": "PRDM9 binds; DMC1 marks breaks",
    "PRDM9(Zf)/Testis-DMC1-ChIP-Seq(GSE35498)/Homer": "PRDM9 alone, for the same reason",
    "Fosl2(bZIP)/3T3L1-Fosl2-ChIP-Seq(GSE56872)/Homer": "FOXL2 is another family's",
    "GLIS3(Zf)/Thyroid-Glis3.GFP-ChIP-Seq(GSE103297)/Homer": "GLIS3, not GLI3",
    "HIC1(Zf)/Treg-ZBTB29-ChIP-Seq(GSE99889)/Homer": "HIC1 (ZBTB29), not ZIC1",
    "NPAS(bHLH)/Liver-NPAS-ChIP-Seq(GSE39860)/Homer": "that study took NPAS2, not NPAS1",
    "SF1(NR)/H295R-Nr5a1-ChIP-Seq(GSE44220)/Homer": "NR5A1; the gene SF1 is a splicing factor",
    "Gata6(Zf)/HUG1N-GATA6-ChIP-Seq(GSE51936)/Homer": "GATA6, which was immunoprecipitated; the reference adds GATA5",
}


def test_more_of_homers_names_than_homers_own_tables(real_data, reference):
    names = list(reference)
    assert sum(map(bool, reference.values())) == 401
    human = resolve(names, _symbols(real_data("reference/hg38_refseq_tss.bed.gz")))
    mouse = resolve(names, _symbols(real_data("reference/mm10_refseq_tss.bed.gz")))
    nameless = {
        "Unknown-ESC-element(?)/mES-Nanog-ChIP-Seq(GSE11724)/Homer",
        "Unknown(Homeobox)/Limb-p300-ChIP-Seq/Homer",
    }
    assert set(human.unresolved) == set(mouse.unresolved) == nameless
    assert len(human.tfs) >= 465
    assert len(mouse.tfs) >= 453
    assert human.lost_parts == {}


def test_agreement_with_homers_own_tables(real_data, reference):
    symbols = _symbols(real_data("reference/hg38_refseq_tss.bed.gz"))
    found = resolve(reference, symbols)
    exact = wider = 0
    different = set()
    for name, theirs in reference.items():
        if not theirs:
            continue
        ours = {s.upper() for s in (*found.tfs.get(name, ()), *found.absent.get(name, ()))}
        ours = {SAME_GENE.get(s, s) for s in ours}
        theirs = {SAME_GENE.get(s, s) for s in theirs}
        if ours == theirs:
            exact += 1
        elif theirs < ours:  # families and complexes: all members, where the reference names one
            wider += 1
        else:
            different.add(name)
    assert different == set(DISAGREE)
    assert exact + wider + len(different) == 401
    assert exact >= 357
