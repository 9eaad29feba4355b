"""The arguments of ``predict``, ``edges``, ``links`` and ``scan``, and those that all commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tilegrn.cli import _tools
from tilegrn.cli._config import add_config

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["add_data", "add_talk", "add_tools", "positive"]

_Commands = argparse._SubParsersAction  # what add_subparsers returns has no public name


def add_tools(commands: _Commands[argparse.ArgumentParser], epilog: str) -> None:
    """Add the commands."""
    _add_predict(commands, epilog)
    _add_edges(commands, epilog)
    _add_links(commands, epilog)
    _add_scan(commands, epilog)


def add_data(command: argparse.ArgumentParser) -> None:
    """Add the data that a command reads."""
    said = "multiome data with raw counts of RNA and ATAC: an h5mu file or a zarr folder"
    command.add_argument("h5mu", type=Path, metavar="H5MU", help=said)


def add_talk(group: argparse._ActionsContainer) -> None:
    """Add what every command that works for a while understands."""
    group.add_argument("--threads", type=positive, metavar="N", help="processor threads (default: all)")
    group.add_argument("--force", action="store_true", help="replace the results of an earlier run")
    group.add_argument("--quiet", action="store_true", help="say nothing but warnings and errors")
    group.add_argument("--verbose", action="store_true", help="say what each step begins and chooses, too")
    group.add_argument("--debug", action="store_true", help="--verbose, all warnings, and the traceback of an error")


def positive(text: str) -> int:
    """Read a whole number above 0."""
    value = int(text)
    if value < 1:
        msg = f"{value} is not above 0"
        raise argparse.ArgumentTypeError(msg)
    return value


def _not_negative(text: str) -> int:
    value = int(text)
    if value < 0:
        msg = f"{value} is below 0"
        raise argparse.ArgumentTypeError(msg)
    return value


def _command(
    commands: _Commands[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], None],
    *,
    say: str,
    description: str,
    example: str,
    epilog: str,
) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(
        name,
        help=say,
        description=description,
        epilog=f"Example:\n  {example}\n\n{epilog}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.set_defaults(command=run)
    return made


def _add_data(parser: argparse.ArgumentParser) -> None:
    """Add which data, and the assembly for a file that was not prepared yet."""
    data = parser.add_argument_group("data")
    data.add_argument("--genome", metavar="NAME", help="assembly: mm10 or hg38; also mm9, mm39, hg19 with --tss")
    data.add_argument("--tss", metavar="FILE", help="TSSs as BED or GTF, as in training (default: RefSeq)")
    data.add_argument("--chrom-sizes", metavar="FILE", help="chromosome sizes (default: those of --genome)")
    data.add_argument("--rna", default="rna", metavar="NAME", help="modality of the RNA (default: %(default)s)")
    data.add_argument("--atac", default="atac", metavar="NAME", help="modality of the ATAC (default: %(default)s)")
    data.add_argument("--layer", metavar="NAME", help="layer of the RNA counts (default: X)")
    _add_rest(parser)


def _add_rest(parser: argparse.ArgumentParser) -> None:
    add_talk(parser.add_argument_group("running"))
    add_config(parser)


def _add_predict(commands: _Commands[argparse.ArgumentParser], epilog: str) -> None:
    predict = _command(
        commands,
        "predict",
        _tools.predict,
        say="predictions of a trained model for a multiome h5mu, written to a file",
        description="Predict the expression of every gene in every cell of an h5mu with raw counts, and write it to a\n"
        "file a block of cells at a time: memory does not follow the number of cells. The input is only read.",
        example="tilegrn predict atlas.h5mu sample-tilegrn/model predictions.zarr --genome mm10 --dtype float16",
        epilog=epilog,
    )
    add_data(predict)
    predict.add_argument("model", type=Path, metavar="MODEL", help="folder of a model, as 'tilegrn run' leaves it")
    predict.add_argument("out", type=Path, metavar="OUT", help="file to write: *.h5ad, *.h5mu or *.zarr")
    predict.add_argument("--genes", type=Path, metavar="FILE", help="symbols to write, one a line (default: all)")
    predict.add_argument("--cells", type=Path, metavar="FILE", help="barcodes to write, one a line (default: all)")
    predict.add_argument(
        "--dtype", choices=("float32", "float16"), default="float32", help="of the numbers (default: %(default)s)"
    )
    predict.add_argument("--device", metavar="NAME", help="where to compute: cpu, cuda (default: cpu)")
    _add_data(predict)


def _add_edges(commands: _Commands[argparse.ArgumentParser], epilog: str) -> None:
    edges = _command(
        commands,
        "edges",
        _tools.edges,
        say="TF -> window -> TG edges that a trained model has learned, as a table or graph",
        description="Read edges off a trained model for the cells of an h5mu. The annotated.h5mu that 'tilegrn run'\n"
        "leaves has all that is needed; for other files name the assembly and where TFs bind.",
        example="tilegrn edges sample-tilegrn/annotated.h5mu sample-tilegrn/model edges.csv --groupby cell_type",
        epilog=epilog,
    )
    add_data(edges)
    edges.add_argument("model", type=Path, metavar="MODEL", help="folder of a model, as 'tilegrn run' leaves it")
    edges.add_argument(
        "out", type=Path, metavar="OUT", help="file to write: *.csv, *.tsv (also *.gz), *.parquet or *.graphml"
    )
    edges.add_argument("--groupby", metavar="COLUMN", help="edges of each group of this obs column: cell_type")
    edges.add_argument("--level", choices=("edge", "triplet"), default="edge", help="TF-TG pairs, or with windows")
    edges.add_argument("--top", type=positive, metavar="N", help="only the strongest (default: all that are kept)")
    edges.add_argument(
        "--format",
        choices=("auto", "csv", "graphml", "decoupler", "gretapy", "celloracle", "scenicplus"),
        default="auto",
        help="columns of a table, or a graph (default: by the name of OUT)",
    )
    edges.add_argument(
        "--max-cells",
        type=positive,
        default=128,
        metavar="N",
        help="cells explained in each group (default: %(default)s)",
    )
    edges.add_argument("--indirect", action="store_true", help="also pairs without a bound window within reach")
    edges.add_argument("--seed", type=int, default=0, help="of the cells that are explained (default: %(default)s)")
    binding = edges.add_argument_group("TF binding, where the file has none")
    binding.add_argument("--binding", type=Path, metavar="TABLE", help="as 'tilegrn scan' or HOMER make it")
    binding.add_argument("--fasta", type=Path, metavar="FASTA", help="genome to scan, together with --motifs")
    binding.add_argument("--motifs", type=Path, metavar="FILE", help="motifs in HOMER's format")
    _add_data(edges)


def _add_links(commands: _Commands[argparse.ArgumentParser], epilog: str) -> None:
    links = _command(
        commands,
        "links",
        _tools.links,
        say="peak -> TG links, scored; needs no model",
        description="Score all pairs of peaks and genes within reach, and write the best of each gene. No model and\n"
        "no motifs are needed.",
        example="tilegrn links sample.h5mu links.bedpe --genome hg38 --groupby cell_type --group Neuron",
        epilog=epilog,
    )
    add_data(links)
    links.add_argument("out", type=Path, metavar="OUT", help="file to write: *.bedpe, *.interact (UCSC) or *.csv")
    links.add_argument("--groupby", metavar="COLUMN", help="links of each group of this obs column: cell_type")
    links.add_argument("--group", metavar="NAME", help="links of this group alone")
    links.add_argument(
        "--top", type=_not_negative, default=20, metavar="N", help="links a gene, 0 for all (default: %(default)s)"
    )
    links.add_argument("--max-distance", type=positive, metavar="BP", help="default: that of the distances")
    links.add_argument("--activity", type=Path, metavar="FILE", help="activity of the cell type: BED or bigWig")
    links.add_argument(
        "--format", choices=("auto", "bedpe", "interact", "csv"), default="auto", help="default: by the name of OUT"
    )
    _add_data(links)


def _add_scan(commands: _Commands[argparse.ArgumentParser], epilog: str) -> None:
    scan = _command(
        commands,
        "scan",
        _tools.scan,
        say="motif hits in peaks by HOMER's rule, as a table for --binding",
        description="Count the hits of motifs in peaks, exactly as HOMER's annotatePeaks.pl -nmotifs does, and write\n"
        "source_id, peak_id, tf_motifs_in_peak. HOMER itself is not needed.",
        example="tilegrn scan mm10.fa known.motifs peaks.bed hits.parquet",
        epilog=epilog,
    )
    scan.add_argument("fasta", type=Path, metavar="FASTA", help="genome: FASTA (plain or bgzip) or 2bit")
    scan.add_argument("motifs", type=Path, metavar="MOTIFS", help="in the format of HOMER, MEME or JASPAR")
    scan.add_argument("peaks", type=Path, metavar="PEAKS", help="BED, or an h5mu or zarr whose peaks are scanned")
    scan.add_argument("out", type=Path, metavar="OUT", help="file to write: *.parquet, *.tsv or *.csv, also *.gz")
    scan.add_argument(
        "--pvalue",
        type=float,
        metavar="P",
        help="chance of a random word to be a hit: sets thresholds, which only HOMER's format has (e.g. 1e-4)",
    )
    scan.add_argument("--size", type=positive, metavar="BP", help="scan N bp around middles (default: whole peaks)")
    scan.add_argument("--mask", action="store_true", help="take soft-masked (lower-case) sequence for N")
    scan.add_argument("--atac", default="atac", metavar="NAME", help="modality of the ATAC (default: %(default)s)")
    _add_rest(scan)
