"""The arguments of the command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from tilegrn import __version__
from tilegrn.cli import _commands
from tilegrn.cli._config import add_config
from tilegrn.cli._tool_parsers import add_data, add_talk, add_tools, positive

__all__ = ["parser"]

_EPILOG = "Exit codes: 0 done, 1 failed, 2 input that cannot be used, 130 interrupted, 143 terminated."


def parser() -> argparse.ArgumentParser:
    """Build the parser; ``options.command`` is the function that runs what was asked for."""
    top = argparse.ArgumentParser(
        prog="tilegrn",
        description="Gene-regulatory networks from single-cell multiome data: windows, TF binding, a transformer that "
        "predicts target genes, and a scorecard on held-out cells.",
        epilog=_EPILOG,
    )
    top.add_argument("--version", action="version", version=f"tilegrn {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    demo = commands.add_parser(
        "demo",
        help="the whole walk on simulated data, in a few minutes",
        description="Simulate multiome cells with a known network, write them as h5mu, and run the whole walk on them.",
        epilog=_EPILOG,
    )
    demo.add_argument("folder", nargs="?", metavar="FOLDER", help="where to leave the results (default: tilegrn-demo)")
    demo.add_argument("--out", metavar="FOLDER", help="the same as FOLDER")
    size = demo.add_argument_group("size of the simulation")
    size.add_argument("--cells", type=positive, default=2000, metavar="N", help="cells (default: %(default)s)")
    size.add_argument(
        "--genes", type=positive, default=600, metavar="N", help="genes, TFs included (default: %(default)s)"
    )
    size.add_argument("--peaks", type=positive, default=3000, metavar="N", help="peaks (default: %(default)s)")
    size.add_argument("--n-tfs", type=positive, default=60, metavar="N", help="TFs (default: %(default)s)")
    _add_training(demo, epochs=20)
    demo.set_defaults(command=_commands.demo)

    run = commands.add_parser(
        "run",
        help="the whole walk on a multiome h5mu or zarr",
        description="From raw counts in an h5mu file or zarr folder to window matrices, a trained model, predictions, "
        "a scorecard on held-out cells, and figures. The input is only read.",
        epilog=_EPILOG,
    )
    add_data(run)
    run.add_argument("--out", metavar="FOLDER", help="where to leave the results (default: H5MU's name with -tilegrn)")
    genome = run.add_argument_group("genome")
    genome.add_argument("--genome", metavar="NAME", help="assembly: mm10 or hg38; also mm9, mm39, hg19 with --tss")
    genome.add_argument("--tss", metavar="FILE", help="TSSs as BED or GTF (default: RefSeq of --genome)")
    genome.add_argument("--chrom-sizes", metavar="FILE", help="chromosome sizes (default: those of --genome)")
    genome.add_argument("--window-size", type=positive, default=1000, metavar="BP", help="default: %(default)s")
    genome.add_argument("--max-distance", type=positive, default=1_000_000, metavar="BP", help="default: %(default)s")
    genome.add_argument("--decay", type=float, default=25e3, metavar="BP", help="decay length (default: 25000)")
    binding = run.add_argument_group("TF binding, one of")
    binding.add_argument(
        "--binding", type=Path, metavar="TABLE", help="parquet, TSV or CSV with source_id, peak_id, tf_motifs_in_peak"
    )
    binding.add_argument("--homer", type=Path, metavar="FILE", help="an output of HOMER's annotatePeaks.pl -m")
    binding.add_argument("--fasta", type=Path, metavar="FASTA", help="genome to scan, together with --motifs")
    binding.add_argument("--motifs", type=Path, metavar="FILE", help="motifs in HOMER's format")
    cells = run.add_argument_group("data")
    cells.add_argument("--tfs", type=Path, metavar="FILE", help="TF symbols, one a line; alone: train without binding")
    cells.add_argument("--split-by", metavar="COLUMN", help="hold out whole groups of this obs column, e.g. sample")
    cells.add_argument("--test-groups", nargs="+", default=[], metavar="GROUP", help="which groups to hold out")
    cells.add_argument(
        "--groupby", metavar="COLUMN", help="also judge within the groups of this obs column, e.g. cell_type"
    )
    cells.add_argument("--rna", default="rna", metavar="NAME", help="modality of the RNA (default: %(default)s)")
    cells.add_argument("--atac", default="atac", metavar="NAME", help="modality of the ATAC (default: %(default)s)")
    cells.add_argument("--layer", metavar="NAME", help="layer of the RNA counts (default: X)")
    _add_training(run, epochs=None)
    run.add_argument(
        "--checkpoint",
        metavar="FOLDER",
        help="where the training survives a kill until the results are there (default: the results' name with "
        ".checkpoint); the same command goes on from it",
    )
    run.set_defaults(command=_commands.run)

    add_tools(commands, _EPILOG)
    info = commands.add_parser(
        "info",
        help="what an h5mu, a model or a results folder holds",
        description="What an h5mu holds and which steps were run on it, what a model knows, or what a run left.",
        epilog=_EPILOG,
    )
    info.add_argument("path", type=Path, metavar="H5MU|MODEL|FOLDER")
    info.add_argument("--debug", action="store_true", help="show the traceback of an error")
    info.set_defaults(command=_commands.info)
    for command in (demo, run):
        add_config(command)
    return top


def _add_training(parser: argparse.ArgumentParser, *, epochs: int | None) -> None:
    group = parser.add_argument_group("training and output")
    group.add_argument("--seed", type=int, default=0, help="seed of split, training and judging (default: %(default)s)")
    usual = "by the size of the data" if epochs is None else str(epochs)
    group.add_argument("--max-epochs", type=positive, default=epochs, metavar="N", help=f"default: {usual}")
    group.add_argument(
        "--n-models", type=positive, default=1, metavar="N", help="seeds averaged (default: %(default)s)"
    )
    group.add_argument("--accelerator", default="auto", metavar="NAME", help="cpu, gpu, ... (default: %(default)s)")
    add_talk(group)
