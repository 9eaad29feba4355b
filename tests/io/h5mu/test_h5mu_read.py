import h5py
import mudata
import numpy as np
import pytest
from scipy import sparse
from tests.io.h5mu._files import build, same

from tilegrn._core.mudata import no_pull, quiet_update
from tilegrn.errors import InputError
from tilegrn.io._tenx import read_10x
from tilegrn.io.h5mu._h5mu import read_h5mu, write_h5mu

# Reading


def crafted(tmp_path, change):
    path = tmp_path / "x.h5mu"
    write_h5mu(path, build())
    with h5py.File(path, "r+") as file:
        change(file, tmp_path)
    return path


def external_link(file, folder):
    file["mod/rna/layers/stolen"] = h5py.ExternalLink(str(folder / "other.h5"), "/x")


def soft_link(file, folder):
    file["mod/rna/layers/loop"] = h5py.SoftLink("/mod")


def hard_loop(file, folder):
    file["mod/rna/uns/loop"] = file["mod"]


def external_storage(file, folder):
    (folder / "secret").write_bytes(b"12345678" * 30 * 5)
    file.create_dataset("mod/rna/layers/leak", (30, 5), "f8", external=[(str(folder / "secret"), 0, 1200)])


def virtual(file, folder):
    layout = h5py.VirtualLayout((5,), "f8")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "x", (5,))
    file.create_virtual_dataset("mod/rna/uns/v", layout)


def absurd_shape(file, folder):
    file.create_dataset("mod/rna/layers/big", (10**6, 10**5), "f8", chunks=(10, 10))


def many_absurd(file, folder):
    for i in range(40):
        file.create_dataset(f"mod/rna/uns/big{i}", (2**25 // 8,), "f8", chunks=(1000,))


def indices(value):
    def change(file, folder):
        file["mod/rna/X/indices"][0] = value

    return change


def offsets(file, folder):
    file["mod/rna/X/indptr"][-1] = 10**9


def offsets_inside(file, folder):
    file["mod/rna/X/indptr"][3] = 10**6


def shape(file, folder):
    file["mod/rna/X"].attrs["shape"] = [10**6, 5]


def no_data(file, folder):
    del file["mod/rna/X/data"]


def no_modalities(file, folder):
    del file["mod"]


def newer(file, folder):
    file["uns/tilegrn/schema"][()] = 99


def lost_index(file, folder):
    del file["mod/rna/obs"].attrs["_index"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (external_link, "'/mod/rna/layers/stolen' is a link to another file"),
        (soft_link, "'/mod/rna/layers/loop' is a soft link"),
        (hard_loop, "contains itself"),
        (external_storage, "'/mod/rna/layers/leak' keeps its data in another file"),
        (virtual, "'/mod/rna/uns/v' keeps its data in another file"),
        (absurd_shape, "'/mod/rna/layers/big' claims 800,000,000,000 bytes and stores 0"),
        (many_absurd, "claims to hold .* bytes of data"),
        (indices(5), "X is damaged"),
        (indices(-1), "X is damaged"),
        (offsets, "do not fit: shape"),
        (offsets_inside, "X is damaged"),
        (shape, "do not fit: shape"),
        (no_data, "lacks data"),
        (no_modalities, "holds no modalities"),
        (newer, "schema 99, newer than 2; upgrade tilegrn"),
        (lost_index, "cannot be read as a MuData"),
    ],
)
def test_hostile_and_damaged_files_are_refused(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        read_h5mu(crafted(tmp_path, change))


def test_files_that_are_no_h5mu(tmp_path):
    path = tmp_path / "x.h5mu"
    with pytest.raises(InputError, match="does not exist"):
        read_h5mu(path)
    path.write_text("no HDF5")
    with pytest.raises(InputError, match="no readable HDF5 file"):
        read_h5mu(path)
    write_h5mu(path, build())
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(InputError, match=r"no readable HDF5 file.*cut short"):
        read_h5mu(path)
    build()["rna"].write_h5ad(tmp_path / "x.h5ad")
    with pytest.raises(InputError, match="looks like an h5ad"):
        read_h5mu(tmp_path / "x.h5ad")


def test_real_files_are_read_as_mudata_reads_them(real_data):
    path = real_data("multiome/pbmc_tiny_hg38.h5mu")
    with no_pull():
        same(mudata.read_h5mu(path), read_h5mu(path))


# The adapter


def test_updating_pulls_nothing_and_restores_the_option():
    mdata = build()
    mdata["rna"].obs["new"] = 1
    quiet_update(mdata)
    assert "rna:new" not in mdata.obs
    if hasattr(mudata, "set_options"):
        with pytest.warns(FutureWarning, match="pull"):
            mdata.update()  # the user's own setting is back


# 10x


def write_10x(path, ids, names, kinds, n_cells=4):
    x = sparse.random(len(ids), n_cells, 0.5, format="csc", random_state=0)
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["barcodes"] = np.array([f"AC{i}-1" for i in range(n_cells)], dtype="S")
        for key in ("data", "indices", "indptr"):
            group[key] = getattr(x, key).astype(np.int32 if key != "data" else np.float32)
        group["shape"] = np.array(x.shape, dtype=np.int32)
        features = group.create_group("features")
        for key, values in (("id", ids), ("name", names), ("feature_type", kinds)):
            features[key] = np.array(values, dtype="S")
        features["genome"] = np.array(["mm10"] * len(ids), dtype="S")
        features["interval"] = np.array(["chr1:1-2"] * len(ids), dtype="S")


GENE, PEAK = "Gene Expression", "Peaks"


def test_10x(tmp_path, capsys):
    path = tmp_path / "m.h5"
    write_10x(path, ["E1", "E2", "P1"], ["A", "B", "chr1:1-2"], [GENE, GENE, PEAK])
    mdata = read_10x(path)
    assert {m: list(a.var_names) for m, a in mdata.mod.items()} == {"rna": ["A", "B"], "atac": ["chr1:1-2"]}
    assert list(mdata["rna"].var["interval"]) == ["chr1:1-2"] * 2
    assert capsys.readouterr().out == ""


def test_10x_with_repeated_symbols(tmp_path):
    path = tmp_path / "m.h5"
    write_10x(path, ["E1", "E2", "E3", "P1"], ["A", "B", "A", "chr1:1-2"], [GENE, GENE, GENE, PEAK])
    with pytest.raises(InputError, match=r"1 gene symbols occur more than once .*\(A\)"):
        read_10x(path)
    with pytest.warns(UserWarning, match="these genes are dropped"):
        mdata = read_10x(path, duplicates="drop")
    assert list(mdata["rna"].var_names) == ["B"]
    assert mdata.n_vars == 2


def test_10x_without_peaks(tmp_path):
    path = tmp_path / "m.h5"
    write_10x(path, ["E1", "E2"], ["A", "B"], [GENE, GENE])
    with pytest.raises(InputError, match=r"holds no atac features \(it has 2 of type 'Gene Expression'\)"):
        read_10x(path)
    write_10x(path, ["E1", "E2"], ["A", "B"], [PEAK, "Antibody Capture"])
    with pytest.raises(InputError, match=r"holds no rna features \(it has 1 of type 'Peaks', 1 of type 'Antibody"):
        read_10x(path)
    path.write_text("x")
    with pytest.raises(InputError, match="cannot be read as a 10x"):
        read_10x(path)


def an_h5mu(path):
    write_h5mu(path, build())


def an_h5ad(path):
    build()["rna"].write_h5ad(path)


def old_h5ad(path):
    with h5py.File(path, "w") as file:
        file["X"] = np.zeros((2, 2))
        file.create_group("obs")
        file.create_group("var")


def a_loom(path):
    with h5py.File(path, "w") as file:
        file["matrix"] = np.zeros((3, 2))
        file["row_attrs/Gene"] = np.array(["A", "B", "C"], dtype="S")
        file["col_attrs/CellID"] = np.array(["x", "y"], dtype="S")


def legacy(*genomes):
    def make(path):
        with h5py.File(path, "w") as file:
            for genome in genomes:
                for key in ("barcodes", "genes", "gene_names", "data", "indices", "indptr", "shape"):
                    file[f"{genome}/{key}"] = np.zeros(2, dtype=np.int64)

    return make


def molecules(path):
    with h5py.File(path, "w") as file:
        for key in ("barcode_idx", "feature_idx", "umi", "count", "gem_group"):
            file[key] = np.zeros(5, dtype=np.int64)
        file["barcodes"] = np.array(["AC"], dtype="S")


def seurat(path):
    with h5py.File(path, "w") as file:
        file.create_group("assays")
        file["cell.names"] = np.array(["AC"], dtype="S")


def other(path):
    with h5py.File(path, "w") as file:
        file["fragments"] = np.zeros(3)


def empty(path):
    with h5py.File(path, "w"):
        pass


def changed_10x(change):
    def make(path):
        write_10x(path, ["E1", "P1"], ["A", "chr1:1-2"], [GENE, PEAK])
        with h5py.File(path, "r+") as file:
            change(file["matrix"])

    return make


def replaced(key, value):
    def change(matrix):
        del matrix[key]
        if value is not None:
            matrix[key] = value

    return changed_10x(change)


def outside(matrix):
    matrix["indices"][0] = 10**6


def huge(matrix):
    del matrix["data"]
    matrix.create_dataset("data", (10**13,), "f4", chunks=(1000,))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (an_h5mu, r"it is an h5mu file\. Read it with grn\.io\.read_h5mu\('"),
        (an_h5ad, r"it is an h5ad file\. Read it with anndata\.read_h5ad"),
        (old_h5ad, "it is an h5ad file"),
        (a_loom, r"it is a loom file\. Read it with anndata\.io\.read_loom"),
        (legacy("mm10"), r"Cell Ranger 2 or older \(of mm10\).*scanpy\.read_10x_h5\('.*', genome='mm10'\)"),
        (legacy("hg19", "mm10"), r"\(of hg19, mm10\)"),
        (molecules, "it is a molecule_info file .*filtered_feature_bc_matrix.h5"),
        (seurat, "it is an h5Seurat file"),
        (other, r"without the group 'matrix' \(it holds fragments\)"),
        (empty, r"it holds nothing"),
        (replaced("features", None), "'matrix' lacks features/id, features/name, features/feature_type"),
        (replaced("indptr", None), "'matrix' lacks indptr"),
        (replaced("barcodes", np.array(["AC"], dtype="S")), r"do not fit each other \(shape 2 x 4, .* 1 barcodes"),
        (replaced("shape", np.array([9, 4])), "do not fit each other"),
        (replaced("shape", np.array([2])), r"matrix/shape holds \(1,\) numbers, not 2"),
        (changed_10x(outside), "points to features outside its 2"),
        (changed_10x(huge), "claims 40,000,000,000,000 bytes and stores 0"),
    ],
)
def test_files_that_are_no_10x_matrix(tmp_path, make, message):
    path = tmp_path / "m.h5"
    make(path)
    with pytest.raises(InputError, match=message):
        read_10x(path)


def test_attributes_of_a_kind_that_none_of_ours_has(tmp_path):
    """HDF5 crashes on a text that damage has made a sequence."""
    path = tmp_path / "x.h5mu"
    write_h5mu(path, build())
    with h5py.File(path, "r+") as file:
        attributes = file["mod/rna"].attrs
        del attributes["encoding-type"]
        sequence = np.empty(1, dtype=object)
        sequence[0] = np.array([1, 2], dtype=np.int32)
        attributes.create("encoding-type", sequence, dtype=h5py.vlen_dtype(np.int32))
    with pytest.raises(InputError, match="attribute 'encoding-type' of '/mod/rna'"):
        read_h5mu(path)
