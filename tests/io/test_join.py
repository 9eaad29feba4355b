"""RNA and ATAC that were read apart, as one MuData."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from tilegrn.errors import InputError
from tilegrn.io import join


def part(cells, features):
    x = np.arange(len(cells) * len(features), dtype=np.float32).reshape(len(cells), -1)
    return ad.AnnData(x, obs=pd.DataFrame({"n": range(len(cells))}, index=cells), var=pd.DataFrame(index=features))


def test_both_are_kept_with_all_their_cells():
    rna, atac = part(["a", "b", "c"], ["g"]), part(["c", "d"], ["chr1:1-2"])
    mdata = join(rna, atac)
    assert list(mdata.mod) == ["rna", "atac"]
    assert mdata["rna"] is rna
    assert mdata["atac"] is atac
    assert sorted(mdata.obs_names) == ["a", "b", "c", "d"]
    assert list(mdata.obs) == []


@pytest.mark.filterwarnings("ignore:.*not unique:UserWarning")
def test_what_cannot_be_joined():
    rna = part(["a", "b"], ["g"])
    with pytest.raises(InputError, match=r"^atac must be an AnnData, not DataFrame\.$"):
        join(rna, rna.obs)
    with pytest.raises(InputError, match=r"^rna must be an AnnData, not NoneType\.$"):
        join(None, rna)
    with pytest.raises(InputError, match=r"^1 ATAC barcodes occur more than once"):
        join(rna, part(["a", "a"], ["p"]))
    with pytest.raises(InputError, match=r"No barcode is in both.*2 of them match\. Cut these off"):
        join(rna, part(["a-1", "b-1"], ["p"]))
