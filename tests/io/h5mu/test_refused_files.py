"""Files that read_h5mu looks through first, and what was written that does not hold all it should."""

import shutil
import struct
from pathlib import Path

import h5py
import mudata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from tests.io.h5mu._files import build, names_in, same

from tilegrn._core import keys as K
from tilegrn._core.mudata import no_pull
from tilegrn.errors import InputError, WriteError
from tilegrn.io.h5mu import _h5check, _h5heaps
from tilegrn.io.h5mu._h5check import check_file, matrices, named, oddity
from tilegrn.io.h5mu._h5mu import read_h5mu, write_h5mu, write_zarr
from tilegrn.io.h5mu._writable import check_writable


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "x.h5mu"
    write_h5mu(path, build())
    return path.read_bytes()


@pytest.fixture
def path(whole, tmp_path):
    (tmp_path / "x.h5mu").write_bytes(whole)
    return tmp_path / "x.h5mu"


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


# Heaps


def heap(*objects, size=None):
    body = b"".join(struct.pack("<H6xQ", index, length) + bytes(rest) for index, length, rest in objects)
    return b"GCOL\x01\0\0\0" + struct.pack("<Q", 16 + len(body) if size is None else size) + body


@pytest.mark.parametrize(
    ("data", "ends"),
    [
        (heap((1, 3, 8), (0, 16, 0)), True),
        (heap((1, 0, 0), (1, 8, 8)), True),  # an object of no length has a head
        (heap((0, 15, 0)), False),
        (heap((0, 0, 0)), False),
        (heap((1, 9, 16), (0, 0, 0)), False),
        (heap((1, 9, 8), (0, 0, 0)), True),  # what lies inside an object is no head
        (heap((0, 0, 0), size=16), True),  # behind the end of the heap
        (heap((0, 0, 0), size=31), True),
        (heap((0, 0, 0), size=32), False),
        (heap((0, 0, 0), size=10**18), False),
        (heap((0, 0, 0), size=3), True),
        (b"GCOL\x01\0\0\0", True),
        (b"GCOL\x02\0\0\0" + bytes(40), True),
        (b"GCOL\x01\0\0" + heap((0, 0, 0)), False),
    ],
)
@pytest.mark.parametrize("before", [0, 5])
def test_heaps_are_walked_to_their_end(tmp_path, data, ends, before):
    path = tmp_path / "x"
    path.write_bytes(bytes(before) + data)
    if ends:
        _h5heaps.check_heaps(path)
    else:
        at = before + data.rfind(b"GCOL")
        with pytest.raises(
            InputError, match=rf"x' is damaged: its heap at byte {at} never ends\. Copy or write it again"
        ):
            _h5heaps.check_heaps(path)


def test_the_second_heap_is_found(tmp_path):
    (tmp_path / "x").write_bytes(heap((0, 16, 0)) + heap((0, 0, 0)))
    with pytest.raises(InputError, match="heap at byte 32 never ends"):
        _h5heaps.check_heaps(tmp_path / "x")


# What was written


def lossy(monkeypatch, lose):
    write = mudata.write_h5mu

    def losing(file, mdata, **given):
        write(file, mdata, **given)
        with h5py.File(Path(file), "r+") as handle:
            lose(handle)

    monkeypatch.setattr(mudata, "write_h5mu", losing)


def shorter(file):
    index = file["mod/atac/var"].attrs["_index"]
    values = file[f"mod/atac/var/{index}"][:-1]
    del file[f"mod/atac/var/{index}"]
    file[f"mod/atac/var/{index}"] = values


LOST = {
    "modality": (
        lambda f: f.__delitem__("mod/atac"),
        r"whole MuData: modality 'atac' is missing\. The old file was kept\.$",
    ),
    "slot": (lambda f: f.__delitem__("mod/atac/varm/windows"), r"mod\['atac'\]\.varm\['windows'\] is missing"),
    "all of a slot": (lambda f: f.__delitem__("mod/rna/layers"), r"mod\['rna'\]\.layers\['counts'\] is missing"),
    "rows": (shorter, r"mod\['atac'\]\.var has 11 rows, not 12"),
    "record": (lambda f: f.__delitem__("uns"), r"uns\['tilegrn'\] is missing"),
}


@pytest.mark.parametrize("case", LOST)
def test_a_write_that_loses_something_is_noticed(path, monkeypatch, case):
    lose, message = LOST[case]
    before = path.read_bytes()
    lossy(monkeypatch, lose)
    with pytest.raises(InputError, match=r"^The written file does not hold the whole MuData: .*") as caught:
        write_h5mu(path, build())
    assert caught.match(message)
    assert path.read_bytes() == before
    assert names_in(path.parent) == ["x.h5mu"]


def test_values_that_cannot_be_read_are_noticed(path, monkeypatch):
    write = mudata.write_h5mu

    def damaging(file, mdata, **given):
        write(file, mdata, **given)
        with h5py.File(Path(file)) as handle:
            data = handle["mod/rna/X/data"]
            _, packed = data.id.read_direct_chunk((0,))
        Path(file).write_bytes(Path(file).read_bytes().replace(packed, bytes(len(packed))))

    before = path.read_bytes()
    monkeypatch.setattr(mudata, "write_h5mu", damaging)
    with pytest.raises(WriteError, match=r"x\.h5mu' could not be written: .*"):
        write_h5mu(path, build(), compression="gzip")
    assert path.read_bytes() == before


def test_a_zarr_that_loses_a_slot_is_noticed(tmp_path, monkeypatch):
    write = mudata.write_zarr

    def losing(folder, mdata):
        write(folder, mdata)
        shutil.rmtree(Path(folder) / "mod" / "rna" / "layers" / "counts")

    monkeypatch.setattr(mudata, "write_zarr", losing)
    said = r"^The written folder lacks mod\['rna'\]\.layers\['counts'\]\. The old one was kept\.$"
    with pytest.raises(InputError, match=said):
        write_zarr(tmp_path / "x.zarr", build(n=4))
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("write", [write_h5mu, write_zarr])
def test_what_is_there_stays_if_so_asked(tmp_path, write):
    (tmp_path / "x").write_text("mine")
    with pytest.raises(InputError, match=r"x' is there already; give another path, or overwrite=True\.$"):
        write(tmp_path / "x", build(n=4), overwrite=False)
    assert (tmp_path / "x").read_text() == "mine"


def test_memory_that_does_not_suffice(path, monkeypatch):
    def out(*_, **__):
        raise MemoryError

    monkeypatch.setattr(mudata, "read_h5mu", out)
    with pytest.raises(InputError, match=r"x\.h5mu' is too large for the memory that is left\. Take a subset of it"):
        read_h5mu(path)


def test_index_names_that_mudata_cannot_open_in_place(tmp_path):
    mdata = build()
    mdata.obs["library"] = "x"
    mdata.obs.index.name = "barcode"
    with no_pull():
        mdata.write(tmp_path / "x.h5mu")
    said = r"x\.h5mu' has index names that mudata cannot open in place; write it anew: grn\.io\.write_h5mu\(path, grn"
    with pytest.raises(InputError, match=said):
        read_h5mu(tmp_path / "x.h5mu", backed=True)
    write_h5mu(tmp_path / "x.h5mu", read_h5mu(tmp_path / "x.h5mu"))
    backed = read_h5mu(tmp_path / "x.h5mu", backed=True)
    same(mdata, backed)
    backed.file.close()


# What can be written


def test_a_view_among_the_modalities_is_tried_as_its_copy():
    mdata = build()
    with no_pull():
        mdata.mod["rna"] = mdata["rna"][:, :3]
    assert check_writable(mdata) > 0
    assert mdata["rna"].is_view


def test_slots_of_another_length_are_named():
    mdata = build()
    mdata.obsm["short"] = np.zeros((30, 2))
    mdata.obsm["short"].resize((3, 2), refcheck=False)
    with pytest.raises(
        InputError, match=r"^The MuData does not fit together, .*'short'.*replace what has another length"
    ):
        check_writable(mdata)


def test_the_bytes_that_are_needed():
    """Those of the matrices, and at least 32 for each name."""
    mdata = build()
    before = check_writable(mdata)
    mdata["rna"].layers["more"] = np.zeros((30, 5))
    assert check_writable(mdata) - before == 30 * 5 * 8
    few = sparse.csr_matrix(np.eye(30, 5, dtype=np.float32))
    mdata["rna"].layers["more"] = few
    assert check_writable(mdata) - before == few.data.nbytes + few.indices.nbytes + few.indptr.nbytes
    del mdata["rna"].layers["more"]
    mdata["rna"].uns["table"] = pd.DataFrame({"x": np.zeros(10)}, index=pd.Index(list("abcdefghij"), dtype=object))
    table = mdata["rna"].uns["table"]
    assert check_writable(mdata) - before == table.memory_usage(deep=False).sum() + 320
    mdata["rna"].uns["table"] = 3
    assert check_writable(mdata) - before == 64
