"""The runner, against a Perl stand-in that behaves like HOMER's scripts (stub_homer.pl)."""

from __future__ import annotations

import gzip
import logging
import os
import shutil
import threading
import time
import warnings
from pathlib import Path

import mudata as md
import numpy as np
import pandas as pd
import pytest
from tests._small import PEAKS as SMALL_PEAKS
from tests._small import small

from tilegrn._core.mudata import no_pull
from tilegrn.errors import InputError, ToolError
from tilegrn.io.homer._process import find_homer
from tilegrn.io.homer._run import _check_options, run_homer
from tilegrn.io.homer._table import read_homer
from tilegrn.motifs._files import read_motifs, write_motifs
from tilegrn.motifs._motif import Motif

STUB = Path(__file__).with_name("stub_homer.pl")
PEAKS = ["chr1:100-300", "chr1:400-650", "chr2:0-200", "chr2:500-700"]

pytestmark = pytest.mark.skipif(shutil.which("perl") is None, reason="perl is not here")


def word_motif(name: str, word: str, threshold: float | None = None) -> Motif:
    """A motif that only ``word`` hits."""
    matrix = np.full((len(word), 4), 0.001)
    matrix[np.arange(len(word)), ["ACGT".index(b) for b in word]] = 0.997
    return Motif(name, matrix, len(word) * 1.38 if threshold is None else threshold)


MOTIFS = [
    word_motif("Gata1(Zf)/K562-GATA1-ChIP-Seq(GSE18829)/Homer", "GATA"),
    word_motif("name with blanks; $(touch pwned) `touch pwned`", "CACG"),
    word_motif("twice", "TTTA"),
    word_motif("twice", "GGCC"),
]


def brute_force(genome: dict[str, str], peaks: list[str], size: int | None = None) -> dict[tuple[str, str], int]:
    """Count words on both strands."""
    words = {"GATA": 0, "CACG": 1, "TTTA": 2, "GGCC": 3}
    flip = str.maketrans("ACGT", "TGCA")
    out: dict[tuple[str, str], int] = {}
    for peak in peaks:
        chrom, span = peak.split(":")
        start, end = map(int, span.split("-"))
        if size is not None:
            middle = (start + 1 + end) // 2
            start, end = middle - size // 2 - 1, middle + size // 2
        sequence = genome[chrom][start:end].upper()
        for word, i in words.items():
            for w in (word, word[::-1].translate(flip)):
                n = sum(sequence.startswith(w, p) for p in range(len(sequence)))
                if n:
                    key = (MOTIFS[i].name, peak)
                    out[key] = out.get(key, 0) + n
    return out


@pytest.fixture
def genome() -> dict[str, str]:
    rng = np.random.default_rng(5)
    return {c: "".join(rng.choice(list("ACGTacgt"), size=1000)) for c in ("chr1", "chr2", "chrUnused")}


@pytest.fixture
def fasta(tmp_path, genome) -> Path:
    path = tmp_path / "genome.fa"
    lines = []
    for name, sequence in genome.items():
        lines.append(f">{name}")
        lines.extend(sequence[i : i + 50] for i in range(0, len(sequence), 50))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def homer(tmp_path) -> Path:
    bins = tmp_path / "homer here" / "bin"
    bins.mkdir(parents=True)
    for name in ("annotatePeaks.pl", "findMotifsGenome.pl"):
        shutil.copyfile(STUB, bins / name)
        (bins / name).chmod(0o755)
    return bins.parent


def as_dict(table: pd.DataFrame) -> dict[tuple[str, str], int]:
    return dict(
        zip(zip(table["source_id"], table["peak_id"], strict=True), table["tf_motifs_in_peak"].tolist(), strict=True)
    )


@pytest.mark.parametrize("method", ["annotatePeaks", "find"])
@pytest.mark.parametrize("size", ["given", 100])
def test_counts_come_back_on_the_peaks_own_names(fasta, genome, homer, method, size):
    table = run_homer(PEAKS, fasta, MOTIFS, homer=homer, method=method, size=size)
    expected = brute_force(genome, PEAKS, None if size == "given" else size)
    assert as_dict(table) == expected
    assert len(expected) > 4
    assert list(table["peak_id"].cat.categories) == PEAKS
    assert list(table["source_id"].cat.categories) == list(dict.fromkeys(m.name for m in MOTIFS))
    totals = table.groupby("source_id", observed=True)["homer_binding_score"].sum()
    np.testing.assert_allclose(totals, 1.0)


def test_matrices_and_thresholds_reach_homer_exactly(real_data, homer, tmp_path):
    """Real motifs in real peaks, through the runner, against what the real HOMER counted there."""
    wanted = ["CTCF(Zf)", "AP-1(bZIP)", "Sp1(Zf)", "GATA3(Zf)", "RAR:RXR(NR),DR5"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        motifs = read_motifs(real_data("homer/homer_v4.9.1_vertebrates_known.motifs"))
    motifs = [m for m in motifs if m.name.split("/")[0] in wanted]
    assert len(motifs) == 6  # RAR:RXR stands there twice
    with gzip.open(real_data("homer/peaks.fa.gz"), "rt") as handle:
        records = handle.read().split(">")[1:41]
    (tmp_path / "peaks.fa").write_text("".join(f">{r}" for r in records))
    lengths = {r.split("\n")[0]: len(r.split("\n", 1)[1].replace("\n", "")) for r in records}
    table = run_homer([f"{n}:0-{k}" for n, k in lengths.items()], tmp_path / "peaks.fa", motifs, homer=homer)
    real = read_homer(real_data("homer/annotatePeaks_nmotifs_default.tsv.gz"), peak_id="name")
    names = {m.name for m in motifs}
    expected = {(m, p): n for (m, p), n in as_dict(real).items() if m in names and p in lengths}
    assert len(expected) > 20
    assert {(m, p.split(":")[0]): n for (m, p), n in as_dict(table).items()} == expected


def test_peaks_of_a_modality(tmp_path, genome, homer):
    (tmp_path / "two.fa").write_text("".join(f">{c}\n{s * 11}\n" for c, s in genome.items()))
    mdata = small()
    with no_pull():
        mdata = md.MuData({"rna": mdata["rna"], "peaks": mdata["atac"]})
    table = run_homer(mdata, tmp_path / "two.fa", MOTIFS, homer=homer, atac="peaks")
    assert as_dict(table) == brute_force({c: s * 11 for c, s in genome.items()}, SMALL_PEAKS)


def test_mask_reaches_homer(fasta, homer):
    table = run_homer(PEAKS, fasta, MOTIFS, homer=homer, mask=True)
    assert len(table) == 0 or table["tf_motifs_in_peak"].sum() < sum(
        as_dict(run_homer(PEAKS, fasta, MOTIFS, homer=homer)).values()
    )


def test_a_table_of_peaks_and_a_motif_file(fasta, genome, homer, tmp_path):
    write_motifs(MOTIFS[:2], tmp_path / "known.motif")
    peaks = pd.DataFrame({"chrom": ["chr2", "chr1"], "start": [0, 100], "end": [200, 300], "name": ["a b", "c$d"]})
    table = run_homer(peaks, fasta, tmp_path / "known.motif", homer=homer)
    assert list(table["peak_id"].cat.categories) == ["a b", "c$d"]
    expected = brute_force(genome, ["chr2:0-200", "chr1:100-300"])
    names = {"chr2:0-200": "a b", "chr1:100-300": "c$d"}
    assert as_dict(table) == {(m, names[p]): n for (m, p), n in expected.items() if m != "twice"}


@pytest.mark.parametrize(
    "name", ["$(touch pwned).fa", "touch pwned|", "-rf.fa", "a b;touch pwned.fa", "new\nline.fa", "Ünïcode genomer"]
)
def test_hostile_paths_never_reach_a_shell(fasta, genome, homer, tmp_path, monkeypatch, name):
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    hostile = folder / name
    shutil.copyfile(fasta, hostile)
    motif_file = folder / (name + ".motif")
    write_motifs(MOTIFS[:1], motif_file)
    before = sorted(p.name for p in folder.iterdir())
    for method in ("annotatePeaks", "find"):
        table = run_homer(PEAKS, Path(hostile), motif_file, homer=homer, method=method)
        expected = {k: v for k, v in brute_force(genome, PEAKS).items() if k[0] == MOTIFS[0].name}
        assert as_dict(table) == expected
    assert sorted(p.name for p in folder.iterdir()) == before
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("exit3", "exit code 3.*something is wrong"),
        ("signal", "signal 9"),
        ("silent", "output is empty.*not found in config.txt"),
        ("missing", r"another set of peaks: 3 of which 0 are not ours \(\[\]\), for 4 asked\. HOMER said: Peak file"),
        ("extra", r"another set of peaks: 5 of which 1 are not ours \(\['stranger'\]\), for 4 asked"),
        ("nomotif", r"annotatePeaks.pl returned other motifs: 2 for 3 asked\. HOMER said: Peak file"),
        ("cut", "cannot be used.*cut short"),
        ("nogc", "no bases for 4 of 4 peaks.*named as in the genome"),
        (
            "nohomer2",
            r"A step of annotatePeaks.pl failed \('.*homer2: (command )?not found'\), although .* HOMER said: Peak",
        ),
    ],
)
def test_each_failure_is_named(fasta, homer, monkeypatch, mode, message):
    monkeypatch.setenv("STUB_MODE", mode)
    with pytest.raises(ToolError, match=f"(?s){message}"):
        run_homer(PEAKS, fasta, MOTIFS, homer=homer)


@pytest.mark.parametrize("mode", ["extra", "cut", "nohomer2", "silent"])
def test_each_failure_of_find_is_named(fasta, homer, monkeypatch, mode):
    monkeypatch.setenv("STUB_MODE", mode)
    peaks = ["chr1:0-1000", "chr2:0-1000"]
    if mode == "extra":
        # -find lists hits only: a stranger shows where it has one
        monkeypatch.setenv("STUB_MODE", "extra")
        motifs = [word_motif("any", "A")]
    else:
        motifs = MOTIFS
    with pytest.raises(ToolError):
        run_homer(peaks, fasta, motifs, homer=homer, method="find")


def test_peaks_without_sequence_are_told(fasta, homer, monkeypatch):
    monkeypatch.setenv("STUB_MODE", "onegc")
    with pytest.warns(UserWarning, match=r"no bases for 1 of 4 peaks \(their GC% is NA\): only N there") as heard:
        run_homer(PEAKS, fasta, MOTIFS, homer=homer)
    assert heard[0].filename == __file__


def running(text: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if text.encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def test_timeout_kills_the_whole_group(fasta, homer, monkeypatch):
    mark = f"TILEGRN_TEST_MARK={os.getpid()}-{time.monotonic_ns()}"
    monkeypatch.setenv(*mark.split("="))
    monkeypatch.setenv("STUB_MODE", "hang")
    started = time.monotonic()
    with pytest.raises(ToolError, match=r"stopped after 1 s .*Thinking"):
        run_homer(PEAKS, fasta, MOTIFS, homer=homer, timeout=1)
    assert time.monotonic() - started < 15
    time.sleep(0.2)
    assert [p for p in running(mark) if p != str(os.getpid())] == []


def test_an_interrupt_kills_the_whole_group(fasta, homer, monkeypatch):
    mark = f"TILEGRN_TEST_MARK={os.getpid()}-{time.monotonic_ns()}"
    monkeypatch.setenv(*mark.split("="))
    monkeypatch.setenv("STUB_MODE", "hang")
    import signal

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background starts deaf to it
    timer = threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run_homer(PEAKS, fasta, MOTIFS, homer=homer)
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)
    time.sleep(0.2)
    assert [p for p in running(mark) if p != str(os.getpid())] == []


def test_progress_is_logged_and_files_kept(fasta, homer, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="tilegrn"):
        run_homer(PEAKS, fasta, MOTIFS, homer=homer, keep=tmp_path / "kept")
    assert "Peak file = peaks.bed" in caplog.text
    kept = {p.name for p in (tmp_path / "kept").iterdir()}
    assert kept == {"peaks.bed", "known.motif", "stdout.txt", "stderr.txt"}
    assert "Peak file" in (tmp_path / "kept" / "stderr.txt").read_text()
    asked = "annotatePeaks.pl peaks.bed genome.fa -m known.motif -nmotifs -noann -nogene -cpu 1 -size given"
    assert (tmp_path / "kept" / "stdout.txt").read_text().startswith(f"PeakID (cmd={asked})\t")  # the defaults
    assert (tmp_path / "kept" / "peaks.bed").read_text().startswith("chr1\t100\t300\tp0\t0\t+\n")
    assert "Running annotatePeaks.pl on 4 peaks and 3 motifs." in caplog.text


def test_files_are_kept_after_a_failure(fasta, homer, tmp_path, monkeypatch):
    monkeypatch.setenv("STUB_MODE", "cut")
    with pytest.raises(ToolError):
        run_homer(PEAKS, fasta, MOTIFS, homer=homer, keep=tmp_path / "kept")
    assert (tmp_path / "kept" / "stdout.txt").stat().st_size > 0


def test_files_that_cannot_be_kept_are_a_warning(fasta, genome, homer, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING, logger="tilegrn"):
        table = run_homer(PEAKS, fasta, MOTIFS, homer=homer, keep=tmp_path / "file" / "kept")
    assert as_dict(table) == brute_force(genome, PEAKS)
    assert f"HOMER's files could not be kept in '{tmp_path / 'file' / 'kept'}'" in caplog.text


def test_homer_is_found_by_argument_variable_and_path(homer, monkeypatch, tmp_path):
    script = homer / "bin" / "annotatePeaks.pl"
    monkeypatch.delenv("HOMER", raising=False)
    assert find_homer("annotatePeaks.pl", homer) == script
    assert find_homer("annotatePeaks.pl", homer / "bin") == script
    assert find_homer("annotatePeaks.pl", homer / "bin" / "findMotifsGenome.pl") == script
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="not found on PATH"):
        find_homer("annotatePeaks.pl", None)
    monkeypatch.setenv("HOMER", str(homer))
    assert find_homer("annotatePeaks.pl", None) == script
    monkeypatch.delenv("HOMER")
    monkeypatch.setenv("PATH", str(homer / "bin"))
    assert find_homer("annotatePeaks.pl", None) == script
    with pytest.raises(ToolError, match=r"is not in .*nowhere"):
        find_homer("annotatePeaks.pl", tmp_path / "nowhere")
    script.chmod(0o644)
    with pytest.raises(ToolError, match="not executable"):
        find_homer("annotatePeaks.pl", homer)


def test_a_script_without_interpreter(fasta, homer):
    (homer / "bin" / "annotatePeaks.pl").write_text("#!/no/such/perl\n")
    with pytest.raises(ToolError, match="cannot be started"):
        run_homer(PEAKS, fasta, MOTIFS, homer=homer)


def test_the_least_that_may_be_asked(fasta, genome, homer):
    last = ["chr1:990-1000", "chr2:0-1"]  # to the last base
    table = run_homer(last, fasta, MOTIFS, homer=homer, n_jobs=np.int64(1))
    assert as_dict(table) == brute_force(genome, last)
    assert _check_options("find", 1, 1, 0.1) == "findMotifsGenome.pl"
    assert _check_options("annotatePeaks", np.int64(1), 1, None) == "annotatePeaks.pl"


def test_a_list_without_hits(fasta, homer):
    table = run_homer(PEAKS, fasta, [word_motif("none", "ACGTACGTACGTACGT")], homer=homer, method="find")
    assert len(table) == 0
    assert list(table["peak_id"].cat.categories) == PEAKS
    assert list(table["source_id"].cat.categories) == ["none"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": -1}, "size is -1; give 'given' or a number of bp, at least 1"),
        ({"size": 1.5}, "size is 1.5"),
        ({"n_jobs": True}, "n_jobs is True"),
        ({"n_jobs": 1.0}, "n_jobs is 1.0"),
        ({"timeout": float("nan")}, "timeout is nan"),
        ({"motifs": ["Gata1"]}, "motifs must be a motif file or a list of tilegrn motifs"),
        (
            {"peaks": ["chr1:0-1001", "chr2:0-1000", "chr2:5-3500"]},
            r"^2 peaks reach past the end .* e\.g\. 'chr2:5-3500' by 2,500 bp \(chr2 has 1,000\)\. Is it the",
        ),
        ({"genome": "mm10.fa"}, "genome 'mm10.fa' does not exist"),
        ({"genome": Path("mm10")}, "genome 'mm10' does not exist"),
        ({"method": "scan"}, "method is 'scan'"),
        ({"size": 0}, "size is 0"),
        ({"size": True}, "size is True"),
        ({"n_jobs": 0}, "n_jobs is 0"),
        ({"timeout": 0}, "timeout is 0"),
        ({"peaks": ["chr1:0-5000"]}, r"past the end .* 4,000 bp"),
        ({"peaks": ["chr9:0-50"]}, r"lacks 1 of the peaks' chromosomes, e.g. \['chr9'\]"),
        ({"peaks": ["chr1:$(touch x)"]}, "no interval"),
        ({"peaks": ["chr$(ls):1-2"]}, "lacks 1"),
        ({"motifs": []}, "at least one"),
        ({"genome": "/no/such/genome.fa"}, "does not exist"),
        ({"genome": "mm10; touch pwned"}, "does not exist"),
        ({"genome": str(Path(__file__).parent)}, "homer' is a folder; give one FASTA file"),
    ],
)
def test_bad_input_stops_before_homer_starts(fasta, tmp_path, changes, message):
    arguments = {"peaks": PEAKS, "genome": fasta, "motifs": MOTIFS, "homer": tmp_path, **changes}
    if "past" in message or "lacks" in message or "genome" in changes:
        arguments["homer"] = _ready(tmp_path)
    peaks, genome, motifs = (arguments.pop(k) for k in ("peaks", "genome", "motifs"))
    with pytest.raises(InputError, match=message):
        run_homer(peaks, genome, motifs, **arguments)


def _ready(tmp_path: Path) -> Path:
    script = tmp_path / "annotatePeaks.pl"
    script.write_text("#!/bin/sh\ntouch started\n")
    script.chmod(0o755)
    return tmp_path


def test_an_installed_genome_goes_by_its_name(homer):
    with pytest.raises(ToolError, match=r"(?s)output is empty.*Genome mm10 not found"):
        run_homer(PEAKS, "mm10", MOTIFS, homer=homer)
