"""Files that read_h5mu looks through first: what is refused, and by what name."""

import h5py
import numpy as np
import pytest
from scipy import sparse
from tests.io.h5mu._files import build

from tilegrn._core import keys as K
from tilegrn._core.mudata import no_pull
from tilegrn.errors import InputError
from tilegrn.io.h5mu import _h5check
from tilegrn.io.h5mu._h5check import check_file, matrices, named, oddity
from tilegrn.io.h5mu._h5mu import read_h5mu


def schema(value):
    def change(file):
        del file["uns/tilegrn/schema"]
        if isinstance(value, dict):
            file.create_group("uns/tilegrn/schema")
        else:
            file["uns/tilegrn/schema"] = value

    return change


def replaced(place, value):
    def change(file):
        del file[place]
        if isinstance(value, dict):
            file.create_group(place)
        else:
            file[place] = value

    return change


def with_shape(value, encoding="csr_matrix", key="shape"):
    def change(file):
        attributes = file["mod/rna/X"].attrs
        del attributes["shape"]
        if value is not None:
            attributes[key] = value
        attributes["encoding-type"] = encoding

    return change


def first_offset(file):
    file["mod/rna/X/indptr"][0] = 1


def lost_parts(file):
    del file["mod/rna/X/data"], file["mod/rna/X/indptr"]


def backwards(file):
    file["mod/rna/X/indptr"][5] = 0


NO_NUMBER = r"x\.h5mu': 'uns/tilegrn/schema' is no whole number; is the file damaged\? Write it again\.$"
DAMAGE = {
    "schema: text": (schema("2"), NO_NUMBER),
    "schema: a fraction": (schema(2.0), NO_NUMBER),
    "schema: several": (schema([1, 2]), NO_NUMBER),
    "schema: a group": (schema({}), NO_NUMBER),
    "modalities are a number": (replaced("mod", 3), r"x\.h5mu' holds no modalities \(no group 'mod'\)\.$"),
    "no modality": (replaced("mod", {}), r"x\.h5mu' holds no modalities \(no group 'mod'\)\.$"),
    "indices in two dimensions": (
        replaced("mod/rna/X/indices", np.zeros((2, 2), int)),
        r"'indices' of the sparse matrix '/mod/rna/X' is no list of numbers; is it damaged\?$",
    ),
    "offsets that are fractions": (
        replaced("mod/rna/X/indptr", np.zeros(31)),
        "'indptr' of the sparse matrix '/mod/rna/X'",
    ),
    "indices that are fractions": (replaced("mod/rna/X/indices", np.zeros(3)), "'indices' of the sparse matrix"),
    "values that are text": (
        replaced("mod/rna/X/data", np.array([b"a"])),
        "'data' of the sparse matrix '/mod/rna/X' is no",
    ),
    "values that are a group": (replaced("mod/rna/X/data", {}), "'data' of the sparse matrix '/mod/rna/X' is no list"),
    "no offsets": (
        replaced("mod/rna/X/indptr", np.zeros(0, int)),
        r"shape \(30, 5\), \d+ values, \d+ indices, 0 offsets ending at -1\.$",
    ),
    "fewer values than indices": (
        replaced("mod/rna/X/data", np.zeros(3, "f4")),
        r"shape \(30, 5\), 3 values, \d+ indices",
    ),
    "fewer indices": (
        replaced("mod/rna/X/indices", np.zeros(3, int)),
        r" values, 3 indices, 31 offsets ending at \d+\.$",
    ),
    "no shape": (with_shape(None), r"x\.h5mu': the sparse matrix '/mod/rna/X' lacks its shape\.$"),
    "a shape of one": (with_shape([30]), "lacks its shape"),
    "a shape of fractions": (with_shape([30.0, 5.0]), "lacks its shape"),
    "a shape below zero": (with_shape([30, -5]), "lacks its shape"),
    "columns taken for rows": (with_shape([30, 5], "csc_matrix"), r"do not fit: shape \(30, 5\), .* 31 offsets"),
    "two parts are lost": (lost_parts, r"the sparse matrix '/mod/rna/X' lacks data, indptr\.$"),
    "the first offset": (
        first_offset,
        r"mod\['rna'\]\.X is damaged \(its parts do not fit each other\); its indices lie out",
    ),
    "offsets backwards": (backwards, r"mod\['rna'\]\.X is damaged \(its rows do not follow each other\)"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_named(path, case):
    change, message = DAMAGE[case]
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(InputError, match=message):
        read_h5mu(path)


def test_what_is_odd_but_harmless_is_read(path):
    sequence = np.empty(1, dtype=object)
    sequence[0] = np.array([1, 2], dtype=np.int32)
    with h5py.File(path, "r+") as file:
        with_shape([30, 5], key="h5sparse_shape")(file)  # as older files say it
        file["mod/rna/uns/type"] = np.dtype("i4")  # a named type is neither group nor data
        file["mod/rna/uns/empty"] = h5py.Empty("f8")
        file["mod/rna"].attrs.create("mine", sequence, dtype=h5py.vlen_dtype(np.int32))
    check_file(path)


@pytest.mark.parametrize("value", [K.SCHEMA, np.uint8(1), None])
def test_schemas_that_are_read(path, value):
    with h5py.File(path, "r+") as file:
        del file["uns/tilegrn/schema"]
        if value is not None:
            file["uns/tilegrn/schema"] = value
    check_file(path)


@pytest.mark.parametrize("mark", [b"HEAP", b"SNOD", b"TREE"])
def test_a_damaged_structure_is_named(path, mark):
    data = bytearray(path.read_bytes())
    data[data.find(mark, data.find(mark) + 1)] = 0
    path.write_bytes(data)
    with pytest.raises(
        InputError, match=r"x\.h5mu' is damaged: its structure cannot be read \(.+\)\. Copy or write it ag"
    ):
        read_h5mu(path)


@pytest.mark.parametrize("depth", [64, 65])
def test_groups_64_deep_are_deep_enough(path, depth):
    with h5py.File(path, "a") as file:
        file.create_group("/".join("a" * depth))
    if depth == 64:
        check_file(path)
    else:
        with pytest.raises(InputError, match=r"x\.h5mu': group '(/a){65}' contains itself or is there twice; refusing"):
            check_file(path)


def test_claims_are_refused_beyond_what_the_file_could_hold(tmp_path, monkeypatch):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("nothing", (100,), "f8")
        file["stored"] = np.zeros(50)
    monkeypatch.setattr(_h5check, "_FREE_BYTES", 1200)
    with h5py.File(path) as file:
        _h5check.walk(file, path)
        monkeypatch.setattr(_h5check, "_FREE_BYTES", 1199)
        monkeypatch.setattr(_h5check, "MAX_RATIO", 0)
        said = rf"x\.h5' has {path.stat().st_size:,} bytes but claims to hold 1,200 bytes of data; refusing to read it"
        with pytest.raises(InputError, match=said):
            _h5check.walk(file, path)
        monkeypatch.setattr(_h5check, "MAX_RATIO", 1)
        _h5check.walk(file, path)  # the file has more bytes than that
        monkeypatch.setattr(_h5check, "_FREE_BYTES", 800)
        _h5check.walk(file, path)
        monkeypatch.setattr(_h5check, "_FREE_BYTES", 799)
        with pytest.raises(
            InputError, match=r"x\.h5': '/nothing' claims 800 bytes and stores 0; refusing to read it\.$"
        ):
            _h5check.walk(file, path)
        monkeypatch.setattr(_h5check, "_FREE_BYTES", 0)
        assert _h5check.claimed_bytes(file["stored"], "x", path) == 400
        monkeypatch.setattr(_h5check, "MAX_RATIO", 0.99)
        with pytest.raises(InputError, match="claims 400 bytes and stores 400"):
            _h5check.claimed_bytes(file["stored"], "x", path)


def test_links_are_told_without_following_them(path):
    with h5py.File(path, "r+") as file:
        file["soft"] = h5py.SoftLink("/mod")
        file["out"] = h5py.ExternalLink("no.h5", "/x")
        file["data"] = 1
        told = {
            n: (_h5check.is_link(file, n), _h5check.is_group(file, n)) for n in ("mod", "soft", "out", "data", "no")
        }
    assert told == {
        "mod": (False, True),
        "soft": (True, False),
        "out": (True, False),
        "data": (False, False),
        "no": (False, False),
    }


ODDITIES = {
    "none": ({}, ""),
    "an offset too few": ({"indptr": [0, 3]}, "its parts do not fit each other"),
    "begins later": ({"indptr": [1, 2, 3]}, "its parts do not fit each other"),
    "ends earlier": ({"indptr": [0, 2, 2]}, "its parts do not fit each other"),
    "fewer values": ({"data": [1.0, 2.0]}, "its parts do not fit each other"),
    "rows backwards": ({"indptr": [0, 4, 3]}, "its rows do not follow each other"),
    "below": ({"indices": [0, -1, 1]}, "it names columns outside 3"),
    "above": ({"indices": [0, 3, 1]}, "it names columns outside 3"),
    "empty": ({"indptr": [0, 0, 0], "indices": [], "data": []}, ""),
}


@pytest.mark.parametrize("case", ODDITIES)
def test_what_is_wrong_with_a_matrix(case):
    parts, said = ODDITIES[case]
    x = sparse.csr_matrix((np.ones(3), [0, 2, 1], [0, 2, 3]), shape=(2, 3))
    for name, values in parts.items():
        setattr(x, name, np.array(values, dtype=getattr(x, name).dtype))
    assert oddity(x) == said
    turned = sparse.csc_matrix((3, 2))
    turned.data, turned.indices, turned.indptr = x.data, x.indices, x.indptr
    assert oddity(turned) == said


def test_every_matrix_has_a_name():
    mdata = build()
    rna = mdata["rna"]
    rna.varm["w"], rna.obsp["p"] = np.ones((5, 1)), sparse.eye(30, format="csr")
    rna.raw = rna.copy()
    rna.uns["deep"] = {"er": {"x": 1}}
    mdata.obsm["e"] = np.ones((30, 2))
    found = dict(matrices(mdata))
    own = {k for k in found if k.startswith("mod['rna']")}
    rest = ["raw.X", "raw.varm['w']", "layers['counts']", "varm['w']", "obsp['p']", "uns['deep']['er']['x']"]
    assert own == {f"mod['rna'].{k}" for k in ["X", *rest]}
    assert found["mod['rna'].uns['deep']['er']['x']"] == 1
    assert {"obsm['e']", "uns['tilegrn']['schema']", "mod['atac'].obsm['windows']"} <= set(found)
    assert named({"a": 1, None: 2}) == {"a": 1}


@pytest.mark.filterwarnings("ignore:.*not unique:UserWarning", "ignore:Duplicated obs_names:UserWarning")
@pytest.mark.parametrize("axis", ["obs_names", "var_names"])
def test_names_that_occur_twice_in_a_users_file(tmp_path, axis):
    mdata = build()
    names = list(getattr(mdata["rna"], axis))
    names[-1] = names[0]
    with no_pull():
        setattr(mdata["rna"], axis, names)
        mdata.write(tmp_path / "x.h5mu")
    said = rf"x\.h5mu': mod\['rna'\]\.{axis} holds 1 names more than once \({names[0]}\)\. Read it with .*safe=False"
    with pytest.raises(InputError, match=said):
        read_h5mu(tmp_path / "x.h5mu")
    assert list(getattr(read_h5mu(tmp_path / "x.h5mu", safe=False)["rna"], axis)) == names
