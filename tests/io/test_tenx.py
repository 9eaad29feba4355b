"""The h5 file of a 10x run: what is read of it, and which damage is told before anything is read."""

import h5py
import numpy as np
import pytest
from benchmarks.reliability._formats import tenx

from tilegrn.errors import InputError
from tilegrn.io import _tenx, read_10x


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("tenx") / "m.h5"
    tenx(path)
    return path.read_bytes()


def changed(tmp_path, good, key, value):
    """The good file with another data set in the place of one, or without it."""
    path = tmp_path / "m.h5"
    path.write_bytes(good)
    with h5py.File(path, "r+") as file:
        del file["matrix"][key]
        if value is not None:
            file["matrix"][key] = np.asarray(value)
    return path


def test_a_path_from_home_and_options(tmp_path, good, monkeypatch):
    (tmp_path / "m.h5").write_bytes(good)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_10x("~/m.h5")["rna"].n_obs == 5
    with pytest.raises(InputError, match=r"^The 10x file '~?/.*none\.h5' does not exist"):
        read_10x("~/none.h5")
    with pytest.raises(InputError, match=r"^duplicates is 'keep'; it must be 'error' or 'drop'\."):
        read_10x("~/m.h5", duplicates="keep")


def test_places_of_features_are_kept_where_the_file_has_them(tmp_path, good):
    (tmp_path / "m.h5").write_bytes(good)
    mdata = read_10x(tmp_path / "m.h5")
    assert list(mdata["rna"].var["interval"]) == ["chr1:1-2", "chr1:3-4", "chr1:5-6"]
    assert list(mdata["atac"].var["interval"]) == ["chr1:1-9", "chr1:20-90", "chr2:3-70"]
    assert list(mdata["rna"].var["gene_ids"]) == ["E0", "E1", "E2"]
    without = read_10x(changed(tmp_path, good, "features/interval", None))
    assert "interval" not in without["rna"].var
    np.testing.assert_array_equal(without["atac"].X.toarray(), mdata["atac"].X.toarray())


def test_all_genes_of_a_repeated_symbol_are_dropped(tmp_path, good):
    names = np.array([b"A", b"B", b"A", b"p:1-9", b"p:20-90", b"p:3-70"])
    path = changed(tmp_path, good, "features/name", names)
    with pytest.raises(InputError, match=r"^1 gene symbols occur more than once in '.*m\.h5' \(A\)\. Drop them with"):
        read_10x(path)
    with pytest.warns(UserWarning, match=r"\(A\); these genes are dropped\.$") as caught:
        mdata = read_10x(path, duplicates="drop")
    told = [w.filename for w in caught if "these genes" in str(w.message)]
    assert told == [__file__]  # of the line that calls
    assert list(mdata["rna"].var_names) == ["B"]
    assert mdata["atac"].n_vars == 3
    assert mdata.n_vars == 4


PARTS = "the parts of its matrix do not fit each other (shape 6 x 5, "


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("data", np.array([b"x"] * 15), "is damaged: matrix/data is no list of numbers. Copy it again."),
        ("data", np.ones((15, 1)), "is damaged: matrix/data is no list of numbers"),
        ("data", 5.0, "is damaged: matrix/data is no list of numbers"),
        ("indices", np.ones(15), "is damaged: matrix/indices is no list of numbers"),
        ("indptr", np.ones(6), "is damaged: matrix/indptr is no list of numbers"),
        ("shape", np.ones(2), "is damaged: matrix/shape is no list of numbers"),
        ("shape", [6, 5, 1], "is damaged: matrix/shape holds (3,) numbers, not 2"),
        ("barcodes", 5, "cannot be read as a 10x h5 file: its structure is damaged ("),
        ("features/id", np.array([b"E"] * 5), PARTS + "5 features"),
        ("features/name", np.array([b"E"] * 7), PARTS + "6 features"),
        ("features/feature_type", np.array([b"Peaks"] * 5), PARTS),
        ("barcodes", np.array([b"E"] * 4), PARTS + "6 features, 4 barcodes, 15 values). Copy it again."),
        ("data", np.ones(14), PARTS),
        ("indices", np.zeros(14, dtype=int), PARTS),
        ("indptr", [0, 3, 6, 9, 12], PARTS),
        ("indptr", [0, 3, 6, 9, 12, 14], PARTS),
        ("indptr", [1, 3, 6, 9, 12, 15], PARTS),
        ("indptr", [0, 6, 3, 9, 12, 15], PARTS),
        ("indices", [0] * 14 + [6], "its matrix points to features outside its 6"),
        ("indices", [0] * 14 + [-1], "its matrix points to features outside its 6"),
        ("features/name", None, "'matrix' lacks features/name. Give the filtered_feature_bc_matrix.h5 that"),
        ("features/feature_type", np.array([b"Peaks"] * 6), "holds no rna features (it has 6 of type 'Peaks')"),
        ("features/feature_type", np.array([b"x"] * 6), "holds no rna and no atac features (it has 6 of type 'x')"),
        ("features/id", np.array([b"\xff"] * 6), "cannot be read as a 10x h5 file: 'ascii' codec"),
        ("features/interval", np.array([b"x"] * 5), "cannot be read as a 10x h5 file: Length of values"),
    ],
)  # fmt: skip
def test_damage_is_named(tmp_path, good, key, value, message):
    with pytest.raises(InputError) as error:
        read_10x(changed(tmp_path, good, key, value))
    assert str(error.value).startswith(f"'{tmp_path}/m.h5' ")
    assert message in str(error.value)


@pytest.mark.parametrize("piece", [1, 4, 15])
def test_indices_are_looked_at_piece_by_piece(tmp_path, good, monkeypatch, piece):
    monkeypatch.setattr(_tenx, "_PIECE", piece)
    for at in (0, 3, 4, 14):
        indices = np.zeros(15, dtype=np.int64)
        indices[at] = 5
        assert read_10x(changed(tmp_path, good, "indices", indices))["atac"].X[:, -1].sum() > 0
        indices[at] = 6
        with pytest.raises(InputError, match="points to features outside its 6"):
            read_10x(changed(tmp_path, good, "indices", indices))


def test_a_matrix_of_no_cells(tmp_path, good):
    path = tmp_path / "m.h5"
    path.write_bytes(good)
    with h5py.File(path, "r+") as file:
        for key, value in {"data": [], "indices": [], "indptr": [0], "barcodes": [], "shape": [6, 0]}.items():
            old = file["matrix"][key].dtype
            del file["matrix"][key]
            file["matrix"][key] = np.array(value, dtype=old)
    mdata = read_10x(path)
    assert (mdata["rna"].shape, mdata["atac"].shape) == ((0, 3), (0, 3))
