import numpy as np
import pandas as pd
import pytest
from tests._small import small

import tilegrn as grn
from tilegrn._core import keys as K
from tilegrn._core import store
from tilegrn.errors import InputError
from tilegrn.io import write_network

TRIPLETS = pd.DataFrame(
    [
        ("a", "T1", "G1", "chr1:1000-2000", 0.9, 1),
        ("a", "T1", "G1", "chr1:5000-6000", 0.3, 1),
        ("a", "T1", "G2", "chr1:1000-2000", 0.2, 1),
        ("a", "T2", "G1", "chr1:1000-2000", 0.5, -1),
        ("a", "T1", "G3", "chr1_GL1:0-1000", 0.1, -1),
        ("b", "T2", "G1", "chr1:1000-2000", 0.4, -1),
        ("b", "T2", "G9", "", 0.8, 1),
    ],
    columns=["group", "source", "target", "cre", "score", "sign"],
)


def made():
    """A MuData that holds a network, as tl.edges stores it."""
    mdata = small()
    network = TRIPLETS.drop_duplicates(["group", "source", "target"]).astype({"group": "category"})
    store.put_record(mdata, K.REC_EDGES, {"network": network, "triplets": TRIPLETS})
    return mdata


def test_celloracle():
    got = grn.get.edges(made(), level="triplet", format="celloracle")
    want = pd.DataFrame(
        [
            ("chr1_1000_2000", "G1", 1, 1),
            ("chr1_1000_2000", "G2", 1, 0),
            ("chr1_5000_6000", "G1", 1, 0),
            ("chr1_GL1_0_1000", "G3", 1, 0),
        ],
        columns=["peak_id", "gene_short_name", "T1", "T2"],
    )
    pd.testing.assert_frame_equal(got, want, check_dtype=False)
    assert got["T1"].dtype == np.int8
    # What Oracle.import_TF_data makes of it: the TFs of each gene.
    tfs = got.drop(columns="peak_id").groupby("gene_short_name").sum().apply(lambda x: list(x[x > 0].index), axis=1)
    assert tfs.to_dict() == {"G1": ["T1", "T2"], "G2": ["T1"], "G3": ["T1"]}


def test_gretapy():
    with pytest.warns(UserWarning, match="1 of 6 edges lie on contigs"):
        got = grn.get.edges(made(), level="triplet", format="gretapy")
    want = pd.DataFrame(
        [
            ("T1", "chr1-1000-2000", "G1", 0.9),
            ("T2", "chr1-1000-2000", "G1", -0.5),
            ("T1", "chr1-5000-6000", "G1", 0.3),
            ("T1", "chr1-1000-2000", "G2", 0.2),
        ],
        columns=["source", "cre", "target", "score"],
    )
    pd.testing.assert_frame_equal(got, want, check_dtype=False)
    assert got["cre"].str.match(r"^chr[0-9a-zA-Z]+-\d+-\d+$").all()  # its own test of the spelling


def test_scenicplus():
    got = grn.get.edges(made(), level="triplet", group="a", format="scenicplus")
    assert list(got.columns[:6]) == [
        "Region", "Gene", "importance_R2G", "rho_R2G", "importance_x_rho_R2G", "importance_x_abs_rho_R2G",
    ]  # fmt: skip
    keyed = got.set_index(["TF", "Region", "Gene"])
    first = keyed.loc[("T1", "chr1:1000-2000", "G1")]
    assert first["triplet_rank"] == 0
    assert first["importance_TF2G"] == pytest.approx(0.9 + 0.3)
    assert first["importance_R2G"] == pytest.approx(0.9 + 0.5)
    assert first["eRegulon_name"] == "T1_direct_+/+"
    assert first["Gene_signature_name"] == "T1_direct_+/+_(2g)"
    assert first["Region_signature_name"] == "T1_direct_+/+_(2r)"
    assert keyed.loc[("T2", "chr1:1000-2000", "G1"), "eRegulon_name"] == "T2_direct_-/+"
    assert got["regulation"].tolist() == [1, -1, 1, 1, -1]
    assert got["rho_TF2G"].isna().all()


def test_decoupler_reads_its_table():
    decoupler = pytest.importorskip("decoupler")
    net = grn.get.edges(made(), format="decoupler")
    assert net.set_index(["source", "target"])["weight"].to_dict() == {
        ("T1", "G1"): 0.9, ("T1", "G2"): 0.2, ("T2", "G1"): -0.5, ("T1", "G3"): -0.1, ("T2", "G9"): 0.8,
    }  # fmt: skip
    cells = pd.DataFrame(np.arange(24.0).reshape(4, 6) % 7, list("wxyz"), ["G1", "G2", "G3", "G9", "H", "I"])
    scores, _ = decoupler.mt.ulm(cells, net, tmin=2)
    assert list(scores.columns) == ["T1", "T2"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("x.parquet", "celloracle"), ("x.tsv", "scenicplus"), ("x.csv.gz", "gretapy"), ("x.csv", "decoupler")],
)
def test_files_hold_the_tables(tmp_path, name, kind):
    edges = grn.get.edges(made(), level="triplet", sources=["T2"])
    write_network(tmp_path / name, edges, format=kind)
    path = tmp_path / name
    read = pd.read_parquet if path.suffix == ".parquet" else pd.read_csv
    got = read(path, sep="\t") if path.suffix == ".tsv" else read(path)
    want = grn.get.edges(made(), level="triplet", sources=["T2"], format=kind)
    pd.testing.assert_frame_equal(got, want, check_dtype=False)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_what_cannot_be_written(tmp_path):
    bare = TRIPLETS[["source", "target"]]
    for kind in ("celloracle", "gretapy", "scenicplus"):
        with pytest.raises(InputError, match=r"needs the windows of edges .*level='triplet'"):
            write_network(tmp_path / "x.csv", bare, format=kind)
        with pytest.raises(InputError, match="none of these 1 has one"):
            write_network(tmp_path / "x.csv", TRIPLETS.tail(1), format=kind)
    with pytest.raises(InputError, match="'celloracle', 'decoupler', 'gretapy', 'scenicplus'"):
        grn.get.edges(made(), format="pando")
    with pytest.raises(InputError, match="'graphml', 'celloracle'"):
        write_network(tmp_path / "x.csv", TRIPLETS, format="pando")
    with pytest.raises(InputError, match="A TF is called peak_id"):
        write_network(tmp_path / "x.csv", TRIPLETS.assign(source="peak_id"), format="celloracle")
    with pytest.raises(InputError, match="takes chromosomes such as chr1 only"):
        write_network(tmp_path / "x.csv", TRIPLETS.assign(cre="1:10-20"), format="gretapy")
    assert list(tmp_path.iterdir()) == []
