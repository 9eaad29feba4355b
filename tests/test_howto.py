"""The Python of docs/howto/ecosystem.md runs, on small files of the kinds that it names."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from benchmarks.reliability._formats import tenx_folder
from scipy import sparse

from tests._core.test_edge_formats import TRIPLETS
from tests.io.atac._made import CELLS, counts, folder
from tilegrn._core import keys as K
from tilegrn._core import store

PAGE = Path(__file__).resolve().parents[1] / "docs" / "howto" / "ecosystem.md"


def made(at: Path) -> None:
    """Write what the page reads."""
    (at / "outs").mkdir()
    tenx_folder(at / "outs" / "filtered_feature_bc_matrix")
    genes = pd.DataFrame(index=["Sox9", "Gfap"])
    ad.AnnData(np.ones((3, 2), dtype=np.float32), obs=pd.DataFrame(index=CELLS), var=genes).write_h5ad(at / "rna.h5ad")
    names = ["chr1-3000100-3000600", "chr1-4000000-4000400", "chr2-7000000-7000300", "chrX-5000000-5000900"]
    folder(at / "signac", name="peaks.txt", peaks="\n".join(names) + "\n")
    archr = [f"S#{c}" for c in CELLS]
    rows = "".join(f'"chr1",{3000101 + 2000 * i},{3000601 + 2000 * i},501,"*",{i}\n' for i in range(4))
    folder(
        at / "archr", name="peaks.csv", peaks='"seqnames","start","end","width","strand","idx"\n' + rows, cells=archr
    )
    tiles = '"seqnames","idx","start"\n' + "".join(f'"chr1",{i + 1},{i * 500}\n' for i in (6000, 6001, 6002, 390943))
    folder(at / "archr_tiles", name="tiles.csv", peaks=tiles, cells=archr)
    var = pd.DataFrame(index=[f"chr1:{i * 500}-{i * 500 + 500}" for i in range(6000, 6004)])
    x = sparse.csr_matrix(counts(), dtype=np.float32)
    ad.AnnData(x, obs=pd.DataFrame(index=CELLS), var=var).write_h5ad(at / "tiles.h5ad")


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:pkg_resources:UserWarning")
def test_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 8
    held: dict = {}
    for block in blocks:
        if "get.edges" in block:
            table = TRIPLETS.assign(group="Astro").query("target != 'G3'").drop_duplicates(["source", "target", "cre"])
            record = {"network": table.astype({"group": "category"}), "triplets": table}
            store.put_record(held["mdata"], K.REC_EDGES, record)
        exec(compile(block, str(PAGE), "exec"), held)  # the page's own lines
        if "archr_tiles" in block:
            assert list(held["tiles"].var_names)[-1] == "chr1:195471500-195471971"  # the length of chr1
    assert {"base_grn.parquet", "eRegulons_direct.tsv"} <= {p.name for p in tmp_path.iterdir()}
    assert held["base"].shape == (3, 4)
    shutil.rmtree(tmp_path / "outs")
