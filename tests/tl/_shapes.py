"""The same cells as thirty-odd kinds of MuData that users bring."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
from scipy import sparse

import tilegrn as grn
from tests._small import copied
from tests.tl._ready import simulated
from tilegrn._core.mudata import no_pull


@dataclass
class Shape:
    """A MuData, how its counts are called, and what stands behind it (a parent of a view, a file)."""

    mdata: md.MuData
    names: dict[str, str] = field(default_factory=dict)
    layer: str | None = None
    parent: md.MuData | None = None
    view: bool = False


def built(like, **slots: Any) -> md.MuData:
    """A MuData of other matrices with the annotation of ``like``."""
    parts = {}
    for name, adata in like.mod.items():
        parts[name] = ad.AnnData(slots[name], obs=adata.obs.copy(), var=adata.var.copy())
    with no_pull():
        out = md.MuData(parts)
    out.obs = like.obs.copy()
    return out


def changed(how):
    """Give each count matrix to ``how``."""
    return lambda like, folder: Shape(built(like, **{name: how(a.X.tocsr()) for name, a in like.mod.items()}))


def unsorted(x):
    out = x.copy()
    for i in range(out.shape[0]):
        at = slice(out.indptr[i], out.indptr[i + 1])
        out.indices[at], out.data[at] = out.indices[at][::-1].copy(), out.data[at][::-1].copy()
    out.has_sorted_indices = False
    return out


def twice(x):
    """Each count as two entries that add up to it."""
    half = np.floor(x.data / 2)
    data = np.column_stack([half, x.data - half]).ravel().astype(x.dtype)
    out = sparse.csr_matrix((data, np.repeat(x.indices, 2), 2 * x.indptr), shape=x.shape)
    out.has_canonical_format = False
    return out


def with_zeros(x):
    """Zeros that are stored."""
    out = x.tolil()
    where = np.argwhere(x[:, :5].toarray() == 0)[:40]
    out = sparse.csr_matrix(out)
    extra = sparse.csr_matrix((np.ones(len(where), x.dtype), where.T), shape=x.shape)
    out = out + extra
    for i, j in where:
        out[i, j] = 0
    return out.tocsr()


def wide(x):
    return _csr(x, x.data, x.indices.astype(np.int64), x.indptr.astype(np.int64))


def _csr(x, data, indices, indptr):
    out = sparse.csr_matrix(x.shape, dtype=data.dtype)
    out.data, out.indices, out.indptr = data, indices, indptr
    return out


def frozen(x):
    for array in (x.data, x.indices, x.indptr):
        array.flags.writeable = False
    return x


def frozen_dense(x):
    out = x.toarray()
    out.flags.writeable = False
    return out


def lazy(kind):
    def how(x):
        import dask.array as da

        dense = da.from_array(x.toarray(), chunks=(37, x.shape[1]))
        return dense.map_blocks(sparse.csr_matrix) if kind == "sparse" else dense

    return how


def in_file(like, folder, *, dense=False):
    mdata = built(like, **{n: a.X.toarray() for n, a in like.mod.items()}) if dense else copied(like)
    mdata.uns.clear()
    grn.io.write_h5mu(folder / "cells.h5mu", mdata)
    return Shape(grn.io.read_h5mu(folder / "cells.h5mu", backed=True))


def from_file(like, folder):
    mdata = copied(like)
    mdata.uns.clear()
    grn.io.write_h5mu(folder / "cells.h5mu", mdata)
    return Shape(grn.io.read_h5mu(folder / "cells.h5mu"))


def view(like, folder, *, cells=True):
    whole = simulated(1, like.n_obs + 30) if cells else copied(like)
    whole.uns.clear()
    return Shape(whole[: like.n_obs] if cells else whole[:, :], parent=whole, view=True)


def view_of_features(like, folder):
    mdata = copied(like)
    wide_rna = ad.concat([mdata["rna"], _renamed(mdata["rna"])], axis=1, merge="first")
    parent = wide_rna.copy()
    with no_pull():
        out = md.MuData({"rna": parent[:, : mdata["rna"].n_vars].copy(), "atac": mdata["atac"]})
    out.obs = like.obs.copy()
    return Shape(out)


def _renamed(adata):
    out = adata[:, :5].copy()
    out.var_names = [f"Extra{i}" for i in range(5)]
    return out


def modality_views(like, folder):
    mdata = copied(like)
    parts = {name: a.copy() for name, a in mdata.mod.items()}
    with no_pull():
        out = md.MuData({name: a[:, :] for name, a in parts.items()})
    out.obs = like.obs.copy()
    return Shape(out, view=True)


def other_names(like, folder):
    with no_pull():
        out = md.MuData({"gex": like["rna"].copy(), "peaks": like["atac"].copy()})
    out.obs = like.obs.copy()
    return Shape(out, {"rna": "gex", "atac": "peaks"})


def in_layer(like, folder):
    out = built(like, rna=like["rna"].X.copy(), atac=like["atac"].X.copy())
    rna = out["rna"]
    rna.layers["counts"] = rna.X.copy()
    rna.X = rna.X.log1p()
    return Shape(out, layer="counts")


def third_modality(like, folder):
    rng = np.random.default_rng(0)
    prot = ad.AnnData(rng.poisson(3.0, (like.n_obs, 4)).astype(np.float32))
    prot.obs_names, prot.var_names = like.obs_names, [f"CD{i}" for i in range(4)]
    with no_pull():
        out = md.MuData({"prot": prot, "rna": like["rna"].copy(), "atac": like["atac"].copy()})
    out.obs = like.obs.copy()
    return Shape(out)


def reversed_modalities(like, folder):
    with no_pull():
        out = md.MuData({"atac": like["atac"].copy(), "rna": like["rna"].copy()})
    out.obs = like.obs.copy()
    return Shape(out)


def other_order(like, folder):
    rng = np.random.default_rng(1)
    with no_pull():
        out = md.MuData({n: a[rng.permutation(a.n_obs)].copy() for n, a in like.mod.items()})
    out.obs = like.obs.loc[out.obs_names].copy()
    return Shape(out)


def raw_set(like, folder):
    out = built(like, rna=like["rna"].X.copy(), atac=like["atac"].X.copy())
    out["rna"].raw = out["rna"].copy()
    return Shape(out)


def full_of_things(like, folder):
    """Annotation of all kinds: nothing that a step has any business with."""
    out = built(like, rna=like["rna"].X.copy(), atac=like["atac"].X.copy())
    rng = np.random.default_rng(2)
    for adata in (out["rna"], out["atac"]):
        n, m = adata.shape
        adata.obsm["X_pca"] = rng.normal(size=(n, 3))
        adata.obsm["frame"] = pd.DataFrame(rng.normal(size=(n, 2)), index=adata.obs_names, columns=["a", "b"])
        adata.varm["loadings"] = rng.normal(size=(m, 3))
        adata.obsp["graph"] = sparse.random(n, n, 0.05, format="csr", random_state=0)
        adata.varp["graph"] = sparse.random(m, m, 0.05, format="csr", random_state=0)
        adata.layers["spliced"] = adata.X.copy()
        adata.uns["nested"] = {"a": {"b": np.arange(3), "frame": pd.DataFrame({"x": [1, 2]})}, "text": "words"}
        adata.obs["batch"] = pd.Categorical(rng.choice(["x", "y"], n))
        adata.obs["maybe"] = pd.array(rng.choice([0, 1, None], n), dtype="Int64")
        adata.obs["text"] = [f"t{i}" for i in range(n)]
        adata.obs["score"] = np.where(rng.random(n) < 0.1, np.nan, 1.0)
    out.obsm["X_umap"] = rng.normal(size=(out.n_obs, 2))
    out.obsp["graph"] = sparse.random(out.n_obs, out.n_obs, 0.05, format="csr", random_state=0)
    out.uns["study"] = {"title": "cells", "numbers": np.arange(4), "deep": {"list": [1, 2, 3]}}
    return Shape(out)


def categorical_names(like, folder):
    out = built(like, rna=like["rna"].X.copy(), atac=like["atac"].X.copy())
    for adata in (out["rna"], out["atac"]):
        adata.obs_names = pd.Index(adata.obs_names, dtype="string")
        adata.var_names = pd.Index(adata.var_names, dtype="string")
    return Shape(out)


def named_index(like, folder):
    out = built(like, rna=like["rna"].X.copy(), atac=like["atac"].X.copy())
    for adata in (out["rna"], out["atac"]):
        adata.obs_names.name = "barcode"
        adata.var_names.name = "feature"
    return Shape(out)


SHAPES = {
    "csr float32": changed(lambda x: x.astype(np.float32)),
    "csr float64": changed(lambda x: x.astype(np.float64)),
    "csr int64": changed(lambda x: x.astype(np.int64)),
    "csr int32": changed(lambda x: x.astype(np.int32)),
    "csr uint16": changed(lambda x: x.astype(np.uint16)),
    "csr array": changed(sparse.csr_array),
    "csc": changed(lambda x: x.tocsc()),
    "csc array": changed(lambda x: sparse.csc_array(x)),
    "dense": changed(lambda x: x.toarray()),
    "dense Fortran": changed(lambda x: np.asfortranarray(x.toarray())),
    "dense int64": changed(lambda x: x.toarray().astype(np.int64)),
    "dense read-only": changed(frozen_dense),
    "unsorted columns": changed(unsorted),
    "entries twice": changed(twice),
    "stored zeros": changed(with_zeros),
    "int64 columns": changed(wide),
    "read-only csr": changed(frozen),
    "dask csr": changed(lazy("sparse")),
    "dask dense": changed(lazy("dense")),
    "backed csr": in_file,
    "backed dense": lambda like, folder: in_file(like, folder, dense=True),
    "from a file": from_file,
    "view of cells": view,
    "view of all": lambda like, folder: view(like, folder, cells=False),
    "features of a wider table": view_of_features,
    "modalities that are views": modality_views,
    "other names": other_names,
    "counts in a layer": in_layer,
    "third modality": third_modality,
    "modalities reversed": reversed_modalities,
    "cells in another order": other_order,
    "raw": raw_set,
    "full of things": full_of_things,
    "string names": categorical_names,
    "named index": named_index,
}
