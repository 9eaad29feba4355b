"""Commands from a file, and perhaps a trained model, to another file: ``predict``, ``edges``, ``links``, ``scan``."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tilegrn.cli._commands import set_up
from tilegrn.errors import InputError

if TYPE_CHECKING:
    import argparse

    import pandas as pd
    from mudata import MuData

    from tilegrn.model.grn_model import GRNModel

__all__ = ["edges", "links", "predict", "scan"]

logger = logging.getLogger(__name__)


def predict(options: argparse.Namespace) -> None:
    """Write a model's predictions for a file."""
    from tilegrn import io, tl
    from tilegrn.io.h5mu._zarr import read_any

    genes, cells = _listed(options.genes, "genes"), _listed(options.cells, "cells")
    _check_out(options)
    model = io.load_model(options.model)
    mdata = read_any(options.h5mu, backed=True)
    set_up(options.threads)
    _prepare(mdata, options, model)
    tl.predict_file(
        mdata,
        model,
        options.out,
        genes=genes,
        cells=cells,
        dtype=options.dtype,
        rna=options.rna,
        atac=options.atac,
        layer=options.layer,
        device=options.device,
        overwrite=options.force,
    )
    sys.stdout.write(f"Predictions: {options.out}\n")


def edges(options: argparse.Namespace) -> None:
    """Write the edges that a model has learned, for the cells of a file."""
    from tilegrn import get, io, pp, tl
    from tilegrn._core import keys as K
    from tilegrn._core import store
    from tilegrn.io.h5mu._zarr import read_any

    _check_out(options)
    model = io.load_model(options.model)
    mdata = read_any(options.h5mu, backed=True)
    set_up(options.threads)
    _prepare(mdata, options, model)
    names = {"rna": options.rna, "atac": options.atac}
    if not store.has_record(mdata, K.REC_BINDING):
        if options.binding is not None:
            pp.add_binding(mdata, options.binding, **names)
        elif options.fasta is not None and options.motifs is not None:
            pp.homer_binding(mdata, options.fasta, options.motifs, **names)
        else:
            msg = (
                f"'{options.h5mu}' does not say which TFs bind where. Give --binding TABLE, or --fasta FASTA with "
                "--motifs FILE; or the annotated.h5mu that 'tilegrn run' leaves."
            )
            raise InputError(msg)
    tl.edges(
        mdata,
        model,
        groupby=options.groupby,
        max_cells=options.max_cells,
        indirect=options.indirect,
        layer=options.layer,
        seed=options.seed,
        **names,
    )
    table = get.edges(mdata, level=options.level, n=options.top)
    io.write_network(options.out, table, format=options.format)
    sys.stdout.write(f"{len(table):,} edges: {options.out}\n")


def links(options: argparse.Namespace) -> None:
    """Write scored links of peaks and target genes."""
    from tilegrn import io, tl
    from tilegrn.io.h5mu._zarr import read_any

    _check_out(options)
    mdata = read_any(options.h5mu, backed=True)
    set_up(options.threads)
    _prepare(mdata, options, None)
    table = tl.links(
        mdata,
        groupby=options.groupby,
        group=options.group,
        top=options.top or None,
        max_distance=options.max_distance,
        activity=options.activity,
        layer=options.layer,
        rna=options.rna,
        atac=options.atac,
    )
    io.write_links(options.out, table, format=options.format)
    sys.stdout.write(f"{len(table):,} links: {options.out}\n")


def scan(options: argparse.Namespace) -> None:
    """Count motif hits in peaks by HOMER's rule, and write them as a table for ``--binding``."""
    from tilegrn import io, motifs

    _check_out(options)
    set_up(options.threads)
    peaks = _peaks(options.peaks, options.atac)
    size: int | Literal["given"] = "given" if options.size is None else int(options.size)
    wanted = io.read_motifs(options.motifs, pvalue=options.pvalue)
    found = motifs.count_hits(options.fasta, peaks, wanted, size=size, mask=options.mask, n_jobs=options.threads)
    table = found.to_long().set_axis(["peak_id", "source_id", "tf_motifs_in_peak"], axis=1)
    _write_table(options.out, table[["source_id", "peak_id", "tf_motifs_in_peak"]].astype({"source_id": str}))
    sys.stdout.write(
        f"{int(found.counts.data.sum()):,} hits of {found.shape[1]:,} motifs in {found.shape[0]:,} peaks: "
        f"{options.out}\n"
    )


def _check_out(options: argparse.Namespace) -> None:
    """Refuse to replace a file that --force does not name, before any work."""
    out, inputs = Path(options.out), [getattr(options, n, None) for n in ("h5mu", "model", "peaks", "fasta", "motifs")]
    if out.exists() and any(i is not None and Path(i).exists() and out.samefile(i) for i in inputs):
        msg = f"'{out}' is the input itself; name another file for the result."
        raise InputError(msg)
    if out.exists() and not options.force:
        msg = f"'{out}' exists already. Name another file, or replace it with --force."
        raise InputError(msg)
    if not out.absolute().parent.is_dir():
        msg = f"The folder '{out.absolute().parent}' does not exist; make it, or name another file."
        raise InputError(msg)


def _listed(file: Path | None, what: str) -> list[str] | None:
    """Read names, one a line."""
    from tilegrn._core.text import existing_file

    if file is None:
        return None
    lines = existing_file(file, f"The file of {what}").read_text("utf-8").splitlines()
    return [line.strip() for line in lines if line.strip()]


def _prepare(mdata: MuData, options: argparse.Namespace, model: GRNModel | None) -> None:
    """Lay windows and distances over the data, as the model has them, where the file has none yet."""
    from tilegrn import pp
    from tilegrn._core import keys as K
    from tilegrn._core import store

    if store.has_record(mdata, K.REC_GRID) and store.has_record(mdata, K.REC_TSS):
        return
    sizes, tss = options.chrom_sizes or options.genome, options.tss or options.genome
    if not sizes or not tss:
        alike = ", as in training" if model is not None else ""
        msg = (
            f"'{options.h5mu}' has no windows and distances yet, and no assembly was named to make them with. Give "
            f"--genome (mm10, hg38), or both --chrom-sizes and --tss{alike}."
        )
        raise InputError(msg)
    names = {"rna": options.rna, "atac": options.atac}
    if model is None:
        pp.bin_peaks(mdata, sizes, **names)
        pp.tss_distance(mdata, tss, **names)
        return
    grid, rule = model.vocabulary.grid, model.vocabulary.rule
    pp.bin_peaks(mdata, sizes, window_size=grid.window_size, seed=grid.seed, **names)
    pp.tss_distance(
        mdata,
        tss,
        max_distance=rule.max_distance,
        decay=rule.decay,
        anchor=rule.anchor,
        multiple=rule.multiple,
        **names,
    )


def _peaks(path: Path, atac: str) -> pd.DataFrame:
    """Return ``chrom, start, end`` of the peaks of h5mu, zarr or BED, named as there or by their place."""
    import pandas as pd

    from tilegrn._core import check
    from tilegrn._core.peaks import parse_peaks
    from tilegrn._core.text import existing_file
    from tilegrn.io.h5mu._zarr import is_zarr, read_any

    if path.suffix == ".h5mu" or is_zarr(path):
        named = check.modality(read_any(path, backed=True), atac).var_names.astype(str)
    else:
        import pyranges as pr

        table = pr.read_bed(str(existing_file(path, "The BED file")), as_df=True)
        if not len(table):
            msg = f"'{path}' holds no intervals."
            raise InputError(msg)
        named = pd.Index(table["Chromosome"].astype(str) + ":" + table["Start"].astype(str)) + (
            "-" + table["End"].astype(str)
        ).to_numpy(dtype=object)
    if named.has_duplicates:
        twice = named[named.duplicated()][0]
        msg = f"'{path}' holds the peak '{twice}' more than once; keep one of each."
        raise InputError(msg)
    chrom, start, end = parse_peaks(named)
    return pd.DataFrame({"chrom": chrom, "start": start, "end": end}, index=named)


def _write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table whole or not at all: parquet, else text with tabs or commas by the name."""
    import io

    from tilegrn._core.atomic import new_text, write_bytes

    if path.suffix == ".parquet":
        held = io.BytesIO()
        table.to_parquet(held, index=False)
        write_bytes(path, held.getvalue())
        return
    bare = path.with_suffix("") if path.suffix == ".gz" else path
    with new_text(path) as out:
        table.to_csv(out, sep="," if bare.suffix == ".csv" else "\t", index=False, lineterminator="\n")
