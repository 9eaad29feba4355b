"""The command line: what it refuses and how, what it leaves behind, and the whole walk on a small simulation."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

from tilegrn import cli
from tilegrn._core import torch_there
from tilegrn._core.atomic import new_folder
from tilegrn._core.mudata import no_pull
from tilegrn.cli import _outputs, _run
from tilegrn.datasets import simulate
from tilegrn.errors import InputError
from tilegrn.io.h5mu._h5mu import read_h5mu

SMALL = {"n_cells": 160, "n_genes": 60, "n_peaks": 240, "n_tfs": 10, "n_chroms": 2, "chrom_length": 600_000}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    simulate(**SMALL, seed=0, folder=folder)
    return folder


@pytest.fixture(autouse=True)
def torch_is_taken_for_there(monkeypatch):
    """What is tried here comes before training, or puts something else in its place."""
    monkeypatch.setattr(torch_there, "find_spec", lambda name: name)


@pytest.fixture
def arguments(data, tmp_path):
    """Arguments of a run that would work."""
    return {
        "h5mu": str(data / "multiome.h5mu"),
        "--chrom-sizes": str(data / "genome.chrom.sizes"),
        "--tss": str(data / "tss.bed"),
        "--fasta": str(data / "genome.fa"),
        "--motifs": str(data / "motifs.motif"),
        "--out": str(tmp_path / "out"),
    }


def line(arguments):
    rest = [word for name, value in arguments.items() if name != "h5mu" for word in (name, value) if word is not None]
    return ["run", arguments["h5mu"], *rest]


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_version_load_nothing_heavy(flag):
    code = (
        "import sys\nfrom tilegrn.cli import main\n"
        "try: main([sys.argv[1]])\nexcept SystemExit as e: assert e.code == 0\n"
        "heavy = {'torch', 'scanpy', 'muon', 'matplotlib', 'anndata', 'pandas', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code, flag], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "tilegrn" in result.stdout


def test_python_m_tilegrn_is_the_command_line():
    result = subprocess.run(
        [sys.executable, "-m", "tilegrn", "info", "nowhere"], capture_output=True, text=True, check=False
    )
    assert result.returncode == cli.MISUSED
    assert result.stderr == "tilegrn: error: 'nowhere' does not exist.\n"


BAD = {
    "no such h5mu": ({"h5mu": "absent.h5mu"}, "h5mu file 'absent.h5mu' does not exist"),
    "no assembly": ({"--chrom-sizes": None, "--tss": None}, "Which assembly"),
    "unknown assembly": ({"--chrom-sizes": "mm12"}, "Unknown assembly 'mm12'"),
    "no TSSs of that assembly": ({"--tss": "hg19"}, "No TSS table of 'hg19'"),
    "no such TSS file": ({"--tss": "absent.bed"}, "absent.bed"),
    "no binding": ({"--fasta": None, "--motifs": None}, "none was given"),
    "two bindings": ({"--binding": "{data}/truth.tsv"}, "--binding and --fasta were given"),
    "motifs without bases": ({"--fasta": None, "--binding": "{data}/truth.tsv"}, "go together"),
    "bases without motifs": ({"--motifs": None}, "go together"),
    "no such motifs": ({"--motifs": "absent.motif"}, "motifs file 'absent.motif' does not exist"),
    "out is a file": ({"--out": "{data}/tss.bed"}, "is no folder"),
    "out is full": ({"--out": "{data}"}, "is not empty"),
    "out is no result": ({"--out": "{data}", "--force": ""}, "does not look like a result"),
    "out cannot be made": ({"--out": "/proc/tilegrn/out"}, "Cannot write results"),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_refused_in_one_plain_message_before_any_work(arguments, change, message, data, tmp_path, capsys, monkeypatch):
    def no_work(*_):
        pytest.fail("work was begun")

    monkeypatch.setattr(_run, "walk", no_work)
    for name, value in change.items():
        arguments[name] = value.format(data=data) if value is not None else None
    words = [word for word in line({k: v for k, v in arguments.items() if v is not None}) if word != ""]
    before = sorted(data.rglob("*"))
    assert cli.main(words) == cli.MISUSED
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("tilegrn: error: ")
    assert "Traceback" not in error
    assert sorted(data.rglob("*")) == before
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback(arguments, capsys):
    assert cli.main([*line({**arguments, "h5mu": "absent.h5mu"}), "--debug"]) == cli.MISUSED
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["run"], ["dance"], ["demo", "--cells", "0"], ["demo", "--seed", "x"]])
def test_misspelt_commands_exit_with_2(words, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == cli.MISUSED
    assert "usage: tilegrn" in capsys.readouterr().err


FAULTS = {
    "input": (InputError("the peaks are of hg19"), cli.MISUSED, "error: the peaks are of hg19"),
    "interrupt": (KeyboardInterrupt(), cli.INTERRUPTED, "was not made"),
    "memory": (MemoryError(), cli.FAILED, "Out of memory"),
    "disk": (OSError(28, "No space left on device", "/x"), cli.FAILED, "No space left on device: '/x'"),
    "bug": (ZeroDivisionError("division by zero"), cli.FAILED, "ZeroDivisionError: division by zero\nThis is a bug"),
}


@pytest.mark.parametrize(("fault", "code", "message"), FAULTS.values(), ids=FAULTS)
def test_a_failed_run_leaves_nothing(arguments, fault, code, message, tmp_path, capsys, monkeypatch):
    def fail(_run, folder, _steps):
        (folder / "half").write_text("done")
        raise fault

    monkeypatch.setattr(_run, "walk", fail)
    assert cli.main(line(arguments)) == code
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_failed_run_keeps_the_earlier_result(arguments, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    (out / "run.json").write_text("{}")

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(_run, "walk", fail)
    assert cli.main([*line(arguments), "--force"]) == cli.INTERRUPTED
    assert "is as it was" in capsys.readouterr().err
    assert [p.name for p in tmp_path.rglob("*")] == ["out", "run.json"]


def test_kill_leaves_nothing_either(arguments, tmp_path, monkeypatch, capsys):
    def killed(*_):
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(_run, "walk", killed)
    assert cli.main(line(arguments)) == cli.TERMINATED
    assert signal.getsignal(signal.SIGTERM) is before
    assert list(tmp_path.iterdir()) == []
    assert "interrupted" in capsys.readouterr().err


def test_ctrl_c_that_only_ends_training_keeps_the_result(arguments, tmp_path, monkeypatch, capsys):
    def train_less(*_):
        try:
            os.kill(os.getpid(), signal.SIGINT)
            signal.pause()
        except KeyboardInterrupt:
            return "the best so far"

    monkeypatch.setattr(_run, "walk", train_less)
    assert cli.main(line(arguments)) == cli.INTERRUPTED
    said = capsys.readouterr()
    assert "training was interrupted" in said.err
    assert "the best so far" in said.out
    assert (tmp_path / "out" / "run.json").exists()


def test_a_terminated_training_says_how_to_go_on_and_its_checkpoint_goes_with_the_results(
    arguments, tmp_path, monkeypatch, capsys
):
    kept = tmp_path / "out.checkpoint"

    def left(run, *_):
        (run.checkpoint / "network1").mkdir(parents=True)
        raise SystemExit(cli.TERMINATED)  # as training does, after it has saved

    def stopped(run, folder, steps):
        steps.interrupted = True
        return "the best so far"

    monkeypatch.setattr(_run, "walk", left)
    assert cli.main(line(arguments)) == cli.TERMINATED
    assert f"run the same command to go on from '{kept}'" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["out.checkpoint"]
    monkeypatch.setattr(_run, "walk", stopped)
    assert cli.main(line(arguments)) == cli.INTERRUPTED
    assert "The same command with --force goes on" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "out.checkpoint"]
    monkeypatch.setattr(_run, "walk", lambda *_: "done")
    assert cli.main([*line(arguments), "--force"]) == cli.OK
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_only_checkpoints_are_removed(arguments, tmp_path, monkeypatch, capsys):
    kept = tmp_path / "mine"
    (kept / "network1").mkdir(parents=True)
    (kept / "notes.txt").touch()
    monkeypatch.setattr(_run, "walk", lambda *_: "done")
    assert cli.main([*line(arguments), "--checkpoint", str(kept)]) == cli.OK
    assert [p.name for p in kept.iterdir()] == ["notes.txt"]
    assert cli.main([*line(arguments), "--checkpoint", str(tmp_path / "out" / "x"), "--force"]) == cli.MISUSED
    assert "lies in the results" in capsys.readouterr().err


def test_messages_go_to_stderr_and_nothing_stays_configured(arguments, tmp_path, monkeypatch, capsys):
    def talk(*_):
        logging.getLogger("tilegrn.pp").info("placing")
        warnings.warn_explicit("3 peaks lie on contigs", UserWarning, "x.py", 1, module="tilegrn.cli._run")
        warnings.warn_explicit("numpy will change", FutureWarning, "y.py", 1, module="elsewhere")
        return "done"

    monkeypatch.setattr(_run, "walk", talk)
    before = logging.getLogger("tilegrn").handlers[:]
    assert cli.main(line(arguments)) == cli.OK
    said = capsys.readouterr()
    assert re.search(r"^\[ *\d+\.\d s\] placing$", said.err, re.M)
    assert "warning: 3 peaks lie on contigs" in said.err
    assert "numpy" not in said.err
    assert said.out.startswith("done\nResults: ")
    assert logging.getLogger("tilegrn").handlers == before
    assert cli.main([*line({**arguments, "--out": str(tmp_path / "two")}), "--quiet"]) == cli.OK
    assert "placing" not in capsys.readouterr().err


def test_warnings_of_a_run_are_kept_for_its_report(arguments, tmp_path, monkeypatch, capsys):
    def talk(_run_, _folder, steps):
        with steps.watched():
            logging.getLogger("tilegrn.pp").info("placing")
            warnings.warn_explicit("3 peaks lie on contigs", UserWarning, "x.py", 1, module="tilegrn.cli._run")
            logging.getLogger("tilegrn.tl").warning("few cells")
        warnings.warn_explicit("too late", UserWarning, "x.py", 1, module="tilegrn.cli._run")
        kept.append((steps.warned, steps.command))
        return "done"

    kept = []
    monkeypatch.setattr(_run, "walk", talk)
    before = logging.getLogger("tilegrn").handlers[:]
    words = [*line(arguments), "--quiet"]
    assert cli.main(words) == cli.OK
    assert kept == [(["3 peaks lie on contigs", "few cells"], words)]
    assert json.loads((tmp_path / "out" / "run.json").read_text())["command"] == ["tilegrn", *words]
    assert logging.getLogger("tilegrn").handlers == before
    assert "report.html" in capsys.readouterr().out


def spoilt(data, tmp_path, change):
    """The data with something changed, written as a user's file by mudata itself."""
    mdata = read_h5mu(data / "multiome.h5mu")
    change(mdata)
    with no_pull():
        mdata.write(tmp_path / "spoilt.h5mu")
    return str(tmp_path / "spoilt.h5mu")


def no_work(monkeypatch):
    for step in ("bin_peaks", "tss_distance"):
        monkeypatch.setattr(f"tilegrn.pp.{step}", lambda *_, **__: pytest.fail("work was begun"))


def test_what_cannot_be_written_stops_a_run_before_its_work(arguments, data, tmp_path, monkeypatch, capsys):
    no_work(monkeypatch)
    original = _run.check_writable

    def spoil(mdata):
        mdata["rna"].obs["taken on"] = pd.to_datetime(["2020-01-01"] * mdata.n_obs)
        return original(mdata)

    monkeypatch.setattr(_run, "check_writable", spoil)
    assert cli.main(line(arguments)) == cli.MISUSED
    error = capsys.readouterr().err
    assert "mod['rna'].obs['taken on'] holds datetime64" in error
    assert "mdata.mod['rna'].obs['taken on'].astype(str)" in error
    assert list(tmp_path.iterdir()) == []


def test_an_absent_group_column_stops_a_run_before_its_work(arguments, tmp_path, monkeypatch, capsys):
    no_work(monkeypatch)
    assert cli.main(line({**arguments, "--groupby": "nosuch"})) == cli.MISUSED
    assert "No column 'nosuch' in obs of the data or its RNA; there are [" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_stops_a_run_before_its_work(arguments, tmp_path, monkeypatch, capsys):
    no_work(monkeypatch)
    usage = _run.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(_run.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert cli.main(line(arguments)) == cli.MISUSED
    assert re.search(r"has 1,000 bytes free, but the results need [0-9,]+ or more", capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_nullable_text_stops_no_run(data, tmp_path):
    """The columns that mudata itself makes of text when it is updated, and those with gaps."""

    def change(mdata):
        mdata["rna"].obs["note"] = pd.Categorical(["a", None] * (mdata.n_obs // 2))

    mdata = read_h5mu(spoilt(data, tmp_path, change))
    mdata["rna"].obs["note"] = mdata["rna"].obs["note"].astype("string")
    mdata.obs["note"] = pd.array(["a", None] * (mdata.n_obs // 2), dtype="string")
    run = _run.Run(h5mu=tmp_path / "spoilt.h5mu", chrom_sizes="x", tss="x")
    _run.check_result(mdata, run, tmp_path)


def test_an_input_inside_the_folder_is_not_replaced(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "run.json").write_text("{}")
    (out / "annotated.h5mu").write_text("")
    with pytest.raises(InputError, match="lies in"):
        _outputs.check_target(out, force=True, inputs=(out / "annotated.h5mu",))
    _outputs.check_target(out, force=True, inputs=(tmp_path / "other.h5mu",))


def test_new_folder_appears_at_the_end_and_replaces(tmp_path):
    out = tmp_path / "deep" / "out"
    for text in ("one", "two"):
        with new_folder(out) as folder:
            (folder / "file").write_text(text)
            assert not out.exists() or (out / "file").read_text() == "one"
        assert (out / "file").read_text() == text
    assert [p.name for p in out.parent.iterdir()] == ["out"]
    umask = os.umask(0)
    os.umask(umask)
    assert out.stat().st_mode & 0o777 == 0o777 & ~umask


def test_info_tells_what_a_file_holds(data, capsys):
    assert cli.main(["info", str(data / "multiome.h5mu")]) == cli.OK
    text = capsys.readouterr().out
    assert "160 cells" in text
    assert "rna: 160 cells x 60 features" in text
    assert "sample (4)" in text
    assert "tilegrn: nothing yet" in text
    assert cli.main(["info", str(data)]) == cli.MISUSED
    assert cli.main(["info", str(data / "tss.bed")]) == cli.MISUSED


@pytest.mark.slow
def test_demo_and_run_leave_the_whole_result(tmp_path, capsys):
    """A very small demo, then the same data through ``run``: the same predictions."""
    pytest.importorskip("torch")
    out = tmp_path / "demo"
    sizes = {"--cells": 240, "--genes": 60, "--peaks": 240, "--n-tfs": 10, "--max-epochs": 2, "--threads": 1}
    sizes["--n-models"] = 2
    small = [str(word) for pair in sizes.items() for word in pair]
    assert cli.main(["demo", str(out), *small, "--quiet"]) == cli.OK
    said = capsys.readouterr()
    assert f"Results: {out}" in said.out
    assert "Epoch" not in said.out
    assert {p.name for p in out.iterdir()} == {*_run._CONTENTS, "README.txt"}
    page = (out / "report.html").read_text("utf-8")
    assert 100_000 < len(page) < 1_500_000
    assert "Not shown" not in page  # every section has its content
    assert page.count("<section ") == 10
    assert "tilegrn demo" in page
    assert str(out) in page
    assert "tilegrn-tmp" not in page
    assert all(name in page for name in _run._CONTENTS if name != "report.html")
    for figure in out.glob("*.png"):
        assert figure.read_bytes()[:4] == b"\x89PNG"
    record = json.loads((out / "run.json").read_text())
    assert record["parameters"]["seed"] == 0
    assert record["inputs"]["h5mu"] == _outputs.file_record(out / "data" / "multiome.h5mu")
    assert "tilegrn-tmp" not in (out / "run.json").read_text()
    table = pd.read_csv(out / "scorecard.csv")
    assert {"ridge", "mean"} <= set(table["method"])
    mdata = read_h5mu(out / "annotated.h5mu")
    assert mdata["rna"].layers["predicted"].shape == (240, 60)
    held_out = mdata.obs.loc[mdata.obs["split"] == "test", "sample"].unique()
    assert not set(mdata.obs.loc[mdata.obs["split"] == "train", "sample"]) & set(held_out)
    assert all(name in (out / "README.txt").read_text() for name in _run._CONTENTS)

    data, other = out / "data", tmp_path / "run"
    before = _outputs.file_record(data / "multiome.h5mu")
    words = ["run", str(data / "multiome.h5mu"), "--out", str(other), "--split-by", "sample"]
    words += ["--chrom-sizes", str(data / "genome.chrom.sizes"), "--tss", str(data / "tss.bed")]
    words += ["--fasta", str(data / "genome.fa"), "--motifs", str(data / "motifs.motif")]
    assert cli.main([*words, "--max-epochs", "2", "--threads", "1", "--n-models", "2"]) == cli.OK
    log = capsys.readouterr().err
    assert len(log.splitlines()) <= 40  # a line a step: no bars, no dictionaries
    assert [part for part in ("\r", "{", "Epoch") if part in log] == []
    assert _outputs.file_record(data / "multiome.h5mu") == before
    again = read_h5mu(other / "annotated.h5mu")
    # Sums of threads and vector lanes differ in the last bits, and two epochs of training spread them.
    np.testing.assert_allclose(again["rna"].layers["predicted"], mdata["rna"].layers["predicted"], atol=1e-3)
    assert cli.main(["run", "--config", str(other / "options.yaml"), "--out", str(tmp_path / "replay"), "--quiet"]) == 0
    replayed = read_h5mu(tmp_path / "replay" / "annotated.h5mu")["rna"].layers["predicted"]
    np.testing.assert_array_equal(replayed, again["rna"].layers["predicted"])
    options = (other / "options.yaml").read_text("utf-8")
    assert (tmp_path / "replay" / "options.yaml").read_text("utf-8") == options
    assert f"h5mu: {data / 'multiome.h5mu'}\n" in options
    for path in (out, out / "model", out / "annotated.h5mu"):
        assert cli.main(["info", str(path)]) == cli.OK
    assert "result of a run" in capsys.readouterr().out


def test_predict_writes_what_the_model_says(data, tmp_path, capsys):
    pytest.importorskip("torch")
    import anndata
    from tests.tl._ready import TINY

    import tilegrn as grn

    mdata = read_h5mu(data / "multiome.h5mu")
    grn.pp.bin_peaks(mdata, data / "genome.chrom.sizes")
    grn.pp.tss_distance(mdata, data / "tss.bed", decay=10_000)
    grn.pp.mark_tfs(mdata, list(mdata["rna"].var_names[:5]))
    model = grn.tl.train(mdata, config=TINY, progress=False)
    model.save(tmp_path / "model")
    grn.tl.predict(mdata, model)
    genes, out = tmp_path / "genes.txt", tmp_path / "p.h5ad"
    wanted = [str(g) for g in mdata["rna"].var_names[[9, 4]]]
    genes.write_text("\n".join(wanted))
    before = (data / "multiome.h5mu").read_bytes()
    made = ["predict", str(data / "multiome.h5mu"), str(tmp_path / "model"), str(out), "--genes", str(genes)]
    assert cli.main(made) == cli.MISUSED
    assert "no assembly was named" in capsys.readouterr().err
    made += ["--chrom-sizes", str(data / "genome.chrom.sizes"), "--tss", str(data / "tss.bed"), "--quiet"]
    assert cli.main(made) == cli.OK
    found = anndata.read_h5ad(out)
    assert list(found.var_names) == wanted
    np.testing.assert_allclose(found.X, mdata["rna"][:, wanted].layers["predicted"], atol=1e-5)
    assert (data / "multiome.h5mu").read_bytes() == before
    assert cli.main(made) == cli.MISUSED
    assert "exists" in capsys.readouterr().err
    assert cli.main([*made, "--force"]) == cli.OK
