"""What is read back before a zarr folder takes its place, and the room that backed counts need."""

from pathlib import Path

import mudata
import pytest
from tests.io.h5mu._files import build

from tilegrn._core.mudata import no_pull
from tilegrn.io.h5mu._h5mu import _backed_bytes, write_h5mu, write_zarr


def test_a_zarr_array_that_cannot_be_unpacked_is_noticed(tmp_path, monkeypatch):
    write_zarr(tmp_path / "x.zarr", build())
    before = {p: p.read_bytes() for p in (tmp_path / "x.zarr").rglob("*") if p.is_file()}
    write = mudata.write_zarr

    def damaging(folder, mdata):
        write(folder, mdata)
        chunks = [p for p in (Path(folder) / "mod" / "rna" / "X" / "data").rglob("*") if p.name[0].isdigit()]
        assert chunks
        for chunk in chunks:
            chunk.write_bytes(b"damaged")

    monkeypatch.setattr(mudata, "write_zarr", damaging)
    with pytest.raises((RuntimeError, ValueError), match=r"(?i)decompress|decod|frame|zstd|blosc|corrupt"):
        write_zarr(tmp_path / "x.zarr", build())
    assert {p: p.read_bytes() for p in (tmp_path / "x.zarr").rglob("*") if p.is_file()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.zarr"]


def test_backed_counts_need_the_room_of_their_file(tmp_path):
    mdata, path = build(), tmp_path / "x.h5mu"
    write_h5mu(path, mdata)
    with no_pull():
        backed = mudata.read_h5mu(path, backed="r")
    assert (_backed_bytes(mdata), _backed_bytes(backed)) == (0, path.stat().st_size)
    backed.file.close()
