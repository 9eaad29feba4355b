import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from tests.io.atac._made import CELLS, PEAKS, counts, folder, named, write

import tilegrn as grn
from tilegrn._core.mudata import no_pull
from tilegrn.errors import InputError
from tilegrn.io import join, read_atac

NAMES = [f"{c}:{a}-{b}" for c, a, b in PEAKS]


# Folders


@pytest.mark.parametrize("across", [True, False])
def test_folder_with_a_bed(tmp_path, across):
    atac = read_atac(folder(tmp_path / "x", across=across))
    assert list(atac.var_names) == NAMES
    assert list(atac.obs_names) == CELLS
    np.testing.assert_array_equal(atac.X.toarray(), counts())
    assert atac.X.format == "csr"
    assert atac.X.dtype == np.float32
    assert list(atac.var["start"]) == [p[1] for p in PEAKS]


def test_gzipped_lists_and_a_path_of_the_matrix(tmp_path):
    made = folder(tmp_path / "x", name="peaks.bed.gz")
    write(made / "barcodes.tsv.gz", (made / "barcodes.tsv").read_text())
    (made / "barcodes.tsv").unlink()
    write(made / "counts.mtx.gz", (made / "matrix.mtx").read_text())
    (made / "matrix.mtx").unlink()
    for source in (made, made / "counts.mtx.gz"):
        atac = read_atac(source)
        np.testing.assert_array_equal(atac.X.toarray(), counts())
        assert list(atac.var_names) == NAMES


def test_granges_that_r_wrote_count_from_1(tmp_path):
    rows = "".join(f'"{i}","{c}",{a + 1},{b},{b - a},"*"\n' for i, (c, a, b) in enumerate(PEAKS, 1))
    made = folder(tmp_path / "x", name="peaks.csv", peaks='"","seqnames","start","end","width","strand"\n' + rows)
    assert list(read_atac(made).var_names) == NAMES
    # Signac's assays of Cell Ranger's peaks have BED's numbers in a GRanges.
    assert read_atac(made, start="0-based").var_names[0] == "chr1:101-600"
    rows = "".join(f'"{i}"\t"{c}"\t{a + 1}\t{b}\t{b - a}\n' for i, (c, a, b) in enumerate(PEAKS, 1))
    write(made / "peaks.csv", '"seqnames"\t"start"\t"end"\t"width"\n' + rows)  # write.table: a column more than names
    assert list(read_atac(made).var_names) == NAMES


def test_a_position_0_is_no_granges(tmp_path):
    table = "seqnames\tstart\tend\twidth\nchr1\t0\t10\t11\nchr1\t20\t30\t11\nchr1\t40\t51\t12\nchr2\t1\t9\t9\n"
    made = folder(tmp_path / "x", name="peaks.tsv", peaks=table)
    assert read_atac(made).var_names[0] == "chr1:0-10"
    with pytest.raises(InputError, match="'chr1:0' starts at 0: its positions are 0-based"):
        read_atac(made, start="1-based")


def test_a_bed_may_be_said_to_count_from_1(tmp_path):
    atac = read_atac(folder(tmp_path / "x"), start="1-based")
    assert list(atac.var_names) == [f"{c}:{a - 1}-{b}" for c, a, b in PEAKS]


def test_names_that_do_not_say_where_they_begin(tmp_path):
    made = folder(tmp_path / "x", name="peaks.txt", peaks="".join(f"{c}-{a}-{b}\n" for c, a, b in PEAKS))
    with pytest.raises(InputError, match=r"says whether 'chr1-100-600' counts from 0 or from 1.*start='0-based'"):
        read_atac(made)
    assert list(read_atac(made, start="0-based").var_names) == NAMES
    assert read_atac(made, start="1-based").var_names[0] == "chr1:99-600"
    assert list(read_atac(made, start="0-based").var["source_name"])[:1] == ["chr1-100-600"]


def test_lists_of_10x_count_from_0_and_genes_are_refused(tmp_path):
    lines = [f"{n}\t{n}\tPeaks\t{c}\t{a}\t{b}" for n, (c, a, b) in zip(NAMES, PEAKS, strict=True)]
    made = folder(tmp_path / "x", name="features.tsv", peaks="\n".join(lines) + "\n")
    assert list(read_atac(made).var_names) == NAMES
    write(made / "features.tsv", "\n".join(["E1\tA\tGene Expression\tchr1\t1\t9", *lines[1:]]) + "\n")
    with pytest.raises(InputError, match=r"lists genes too.*read_10x"):
        read_atac(made)


def test_tiles_of_archr(tmp_path):
    tiles = "seqnames,idx,start\n" + "".join(f"chr1,{i + 1},{i * 500}\n" for i in range(3)) + "chr2,1,0\n"
    made = folder(tmp_path / "x", name="tiles.csv", peaks=tiles)
    assert list(read_atac(made).var_names) == ["chr1:0-500", "chr1:500-1000", "chr1:1000-1500", "chr2:0-500"]
    cut = read_atac(made, chrom_sizes={"chr1": 1320, "chr2": 9000})
    assert cut.var_names[2] == "chr1:1000-1320"
    with pytest.raises(InputError, match=r"width=1000, but the tiles .* are 500 bp apart"):
        read_atac(made, width=1000)
    write(made / "tiles.csv", tiles.replace("idx", "number"))
    with pytest.raises(InputError, match=r"starts without ends.*width=500"):
        read_atac(made)
    assert read_atac(made, width=500).var_names[1] == "chr1:500-1000"


def test_lists_given_apart(tmp_path):
    made = folder(tmp_path / "x")
    table = pd.DataFrame(PEAKS, columns=["seqnames", "start", "end"])
    atac = read_atac(made / "matrix.mtx", features=table, barcodes=["a", "b", "c"], start="0-based")
    assert list(atac.obs_names) == ["a", "b", "c"]
    assert list(atac.var_names) == NAMES
    with pytest.raises(InputError, match="features must be a path, or a table"):
        read_atac(made, features=7)


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        (
            "barcodes.tsv",
            r"no list of barcodes \(barcodes.tsv, barcodes.txt, barcodes.csv, cells.tsv, \.\.\., plain or gzipped\); "
            r"it has \['matrix.mtx', 'peaks.bed'\]",
        ),
        ("peaks.bed", "has no list of features"),
        ("matrix.mtx", "must hold one Matrix Market file .* it has none"),
    ],
)
def test_a_missing_file(tmp_path, lost, message):
    made = folder(tmp_path / "x")
    (made / lost).unlink()
    with pytest.raises(InputError, match=message):
        read_atac(made)


def test_lists_that_do_not_fit(tmp_path):
    with pytest.raises(InputError, match=r"is 4 x 3, but the lists beside it name 4 features and 2 cells"):
        read_atac(folder(tmp_path / "x", cells=CELLS[:2]))
    with pytest.raises(InputError, match=r"1 cells of .* share their names, e.g. 'AAAC-1'"):
        read_atac(folder(tmp_path / "x", cells=["AAAC-1", "AAAC-1", "B"]))
    peaks = "chr1\t1\t9\nchr1\t1\t9\nchr2\t1\t9\nchr3\t1\t9\n"
    with pytest.raises(InputError, match="are duplicates: 'chr1:1-9'"):
        read_atac(folder(tmp_path / "x", peaks=peaks))
    with pytest.raises(InputError, match=r"1 of 4 features of .* are no intervals, e.g. 'chr1:9'"):
        read_atac(folder(tmp_path / "x", peaks=peaks.replace("1\t9\n", "9\t9\n", 1)))
    with pytest.raises(InputError, match="start of row 2 is 'x', not a whole number"):
        read_atac(folder(tmp_path / "x", peaks="chr1\t1\t9\nchr1\tx\t9\nchr2\t1\t9\nchr3\t1\t9\n"))
    with pytest.raises(InputError, match="end of row 2 is '', not a whole number"):
        read_atac(folder(tmp_path / "x", peaks="chr1\t1\t9\nchr1\t9\n"))


# The Matrix Market file


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("%%MatrixMarket matrix coordinate integer general\n1000000000000 3 2\n1 1 1\n", "is 1,000,000,000,000 x 3"),
        ("%%MatrixMarket matrix coordinate integer general\n4 3 4000000000\n1 1 1\n", "claims to hold 4,000,000,000"),
        ("%%MatrixMarket matrix array integer general\n4 3\n1\n", "is a 'matrix array integer general'"),
        ("%%MatrixMarket matrix coordinate complex general\n4 3 1\n1 1 1 1\n", "a sparse matrix of counts is needed"),
        ("%%MatrixMarket matrix coordinate integer symmetric\n4 3 1\n1 1 1\n", "integer symmetric"),
        ("%%MatrixMarket matrix coordinate integer general\n4 3 1\n9 1 1\n", "an entry lies outside of 4 x 3"),
        ("%%MatrixMarket matrix coordinate integer general\n4 3 2\n1 1 1\n", "names 2 entries, and it has fewer"),
        ("%%MatrixMarket matrix coordinate integer general\n4 3 1\n1 1 1\n2 1 1\n", "1 entries, and it has more"),
        (
            "%%MatrixMarket matrix coordinate integer general\n4 3 2\n1 1 1\n2 1 1 7\n",
            "cannot be read as a Matrix Market",
        ),
        ("%%MatrixMarket matrix coordinate integer general\n4 3 2\n1 1 1\n2 x 1\n", "or is no number"),
        ("%%MatrixMarket matrix coordinate integer general\n4 3 1\n1 1 -1\n", "negative or infinite"),
        ("%%MatrixMarket matrix coordinate real general\n4 3 1\n1 1 nan\n", "negative or infinite"),
        ("%%MatrixMarket matrix coordinate integer general\n4 3\n", "line with its rows, columns and entries"),
        ("%%MatrixMarket matrix coordinate integer general\n", "line with its rows"),
        ("chr1\t1\t2\n", "is no Matrix Market file"),
        ("", "is no Matrix Market file"),
    ],
)
def test_a_matrix_that_lies_or_is_damaged(tmp_path, text, message):
    made = folder(tmp_path / "x")
    write(made / "matrix.mtx", text)
    with pytest.raises(InputError, match=message):
        read_atac(made)


def test_a_gzipped_matrix_cut_short(tmp_path):
    made = folder(tmp_path / "x")
    write(tmp_path / "m.gz", (made / "matrix.mtx").read_text())
    (made / "matrix.mtx").write_bytes((tmp_path / "m.gz").read_bytes()[:-20])
    with pytest.raises(InputError, match=r"matrix.mtx' (cannot be read|is damaged)"):
        read_atac(made)


def test_a_pattern_has_ones(tmp_path):
    made = folder(tmp_path / "x")
    write(made / "matrix.mtx", "%%MatrixMarket matrix coordinate pattern general\n% by R\n4 3 2\n1 1\n4 2\n")
    assert read_atac(made).X.toarray().tolist() == [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]


# h5ad files and AnnData


def test_tiles_of_snapatac2_prove_that_they_count_from_0(tmp_path):
    path = tmp_path / "x.h5ad"
    made = named([f"chr1:{i}-{i + 500}" for i in range(5000, 8000, 500)])
    made.obsm["fragment_paired"] = sparse.csr_matrix((3, 100))
    made.write_h5ad(path)
    atac = read_atac(path)
    assert list(atac.var_names) == list(made.var_names)
    assert not atac.obsm
    np.testing.assert_array_equal(atac.X.toarray(), made.X.toarray())
    with pytest.raises(InputError, match="its features are tiles of 500 bp: its positions are 0-based"):
        read_atac(path, start="1-based")


def test_tiles_that_count_from_1():
    assert (
        read_atac(named([f"chr1-{i + 1}-{i + 500}" for i in range(5000, 8000, 500)])).var_names[0] == "chr1:5000-5500"
    )


def test_columns_in_the_place_of_names():
    made = named(["f1", "f2", "f3"], seqnames=["chr1", "chr1", "chr2"], start=[11, 31, 5], end=[20, 60, 9], gc=0.5)
    with pytest.raises(InputError, match="Nothing in the AnnData says"):
        read_atac(made)
    atac = read_atac(made, start="1-based")
    assert list(atac.var_names) == ["chr1:10-20", "chr1:30-60", "chr2:4-9"]
    assert list(atac.var.columns) == ["chrom", "start", "end", "source_name", "gc"]
    assert list(made.var_names) == ["f1", "f2", "f3"]
    with pytest.raises(InputError, match=r"no interval. Name peaks"):
        read_atac(named(["f1", "f2"]))


def test_an_anndata_is_left_as_it_is():
    made = named(NAMES)
    before = made.X.copy()
    atac = read_atac(made, start="0-based")
    atac.X.data[:] = 9
    assert (before != made.X).nnz == 0
    with pytest.raises(InputError, match="start='0' must be"):
        read_atac(made, start="0")
    with pytest.raises(InputError, match="features and barcodes go with"):
        read_atac(made, barcodes=CELLS)


def test_layers_raw_and_what_is_no_count(tmp_path):
    made = named(NAMES)
    made.raw = made.copy()
    made.layers["counts"] = made.X.copy()
    made.X.data[:] = 0.25
    made.write_h5ad(tmp_path / "x.h5ad")
    for source in (made, tmp_path / "x.h5ad"):
        for layer in ("raw", "counts"):
            np.testing.assert_array_equal(read_atac(source, start="0-based", layer=layer).X.toarray(), counts())
        with pytest.warns(UserWarning, match="no whole numbers: normalised"):
            read_atac(source, start="0-based")
        with pytest.raises(InputError, match=r"no (layer 'x'|layers/x)"):
            read_atac(source, start="0-based", layer="x")
    made.X.data[0] = -1
    with pytest.raises(InputError, match="negative or infinite"):
        read_atac(made, start="0-based")


def test_files_of_other_kinds(tmp_path):
    path = tmp_path / "x.h5ad"
    path.write_text("x")
    with pytest.raises(InputError, match="is no HDF5 file, or cut short"):
        read_atac(path)
    with no_pull():
        grn.io.write_h5mu(path, join(named(["G1"]), named(NAMES)))
    with pytest.raises(InputError, match=r"is an h5mu file: grn.io.read_h5mu"):
        read_atac(path)
    with pytest.raises(InputError, match="does not exist"):
        read_atac(tmp_path / "none.h5ad")


# Cells


def test_cells_of_archr():
    made = named(NAMES)
    made.obs_names = [f"S1#{c}" for c in CELLS]
    assert list(read_atac(made, start="0-based").obs["sample"]) == ["S1"] * 3
    assert list(read_atac(made, start="0-based", cell_names="{barcode}").obs_names) == CELLS
    made.obs_names = ["S1#AAAC-1", "S2#AAAC-1", "S2#B{sample}"]
    both = read_atac(made, start="0-based", cell_names="{barcode}-{sample}")
    assert list(both.obs_names) == ["AAAC-1-S1", "AAAC-1-S2", "B{sample}-S2"]
    with pytest.raises(InputError, match="Samples share barcodes: keep the sample"):
        read_atac(made, start="0-based", cell_names="{barcode}")
    with pytest.raises(InputError, match="the fields are"):
        read_atac(made, start="0-based", cell_names="{0.__class__}")
    with pytest.raises(InputError, match=r"are not named sample#barcode, e.g. 'AAAC-1'"):
        read_atac(named(NAMES), start="0-based", cell_names="{barcode}")


@pytest.mark.parametrize(
    "text", ['"","x"\n"1","A"\n"2","B"\n"3","C"\n', "x\nA\nB\nC\n", "barcode\tn\nA\t1\nB\t2\nC\t3\n"]
)
def test_lists_of_barcodes_as_r_writes_them(tmp_path, text):
    made = folder(tmp_path / "x")
    write(made / "barcodes.tsv", text)
    assert list(read_atac(made).obs_names) == ["A", "B", "C"]


# With RNA


def rna(cells=CELLS):
    return ad.AnnData(
        np.ones((len(cells), 2), dtype=np.float32), obs=pd.DataFrame(index=cells), var=pd.DataFrame(index=["A", "B"])
    )


def test_join():
    mdata = join(rna(CELLS[::-1]), read_atac(named(NAMES), start="0-based"))
    grn.pp.intersect_cells(mdata)
    assert list(mdata["atac"].obs_names) == CELLS[::-1]
    with pytest.raises(InputError, match=r"No barcode is in both modalities.*Without prefixes and suffixes"):
        join(rna([c[:-2] for c in CELLS]), read_atac(named(NAMES), start="0-based"))
    with pytest.raises(InputError, match="rna must be an AnnData, not str"):
        join("x", named(NAMES))


def test_kilobase_tiles_are_the_windows_themselves():
    sizes = {"chr1": 5300, "chr2": 2000}
    tiles = [f"{c}:{a}-{min(a + 1000, n)}" for c, n in sizes.items() for a in range(0, n, 1000)]
    atac = read_atac(named(tiles))
    mdata = join(rna(), atac)
    grn.pp.bin_peaks(mdata, sizes)
    assert (mdata["atac"].varm["windows"] != sparse.identity(len(tiles))).nnz == 0
    np.testing.assert_array_equal(mdata["atac"].obsm["windows"].toarray(), atac.X.toarray())
    assert list(grn.get.windows(mdata).index) == tiles
    halves = read_atac(named([f"chr1:{a}-{a + 500}" for a in range(0, 5000, 500)]))
    mdata = join(rna(), halves)
    grn.pp.bin_peaks(mdata, sizes)
    np.testing.assert_array_equal(
        mdata["atac"].obsm["windows"].toarray()[:, :5], halves.X.toarray().reshape(3, 5, 2).sum(axis=2)
    )
