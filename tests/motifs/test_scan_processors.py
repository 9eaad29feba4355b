"""Every processor's lookup instruction gives the same hits, and compiles for processors that are not here."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from llvmlite import binding, ir

from tilegrn.motifs import _lookup

ROOT = Path(__file__).resolve().parents[2]
CHECK = """
import sys, pytest
from tilegrn.motifs import _lookup
if _lookup.LOOKUP != sys.argv[1]:
    sys.exit(f"lookup is {_lookup.LOOKUP}")
chosen = "rule or length or borders or tile"
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "tests/motifs/test_scan.py", "-k", chosen]))
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="x86 instructions")
@pytest.mark.parametrize(
    ("lookup", "cpu", "features"),
    [("avx2", "x86-64-v3", "+avx2,+ssse3"), ("ssse3", "x86-64-v2", "+ssse3"), ("lanes", "x86-64", "")],
)
def test_scanner_compiled_for_lesser_processors(tmp_path, lookup, cpu, features):
    if lookup == "avx2" and "avx2" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this processor has no AVX2")
    # without the outer run's options: a floor on coverage holds for the whole suite, not for these few tests
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_CORE_"))}
    environment |= {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path)}
    environment["TILEGRN_SCAN_EXAMPLES"] = "40"  # only the lookup differs; all else is tried at length outside
    done = subprocess.run(
        [sys.executable, "-c", CHECK, lookup],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.parametrize(
    ("triple", "features", "lookup"),
    [
        ("x86_64-unknown-linux-gnu", "+avx2,+avx512bw,+avx512f,+ssse3", "avx512bw"),
        ("x86_64-unknown-linux-gnu", "+avx2,-avx512bw,+avx512f,+ssse3", "avx2"),
        ("x86_64-apple-darwin", "+ssse3,-avx2", "ssse3"),
        ("x86_64-unknown-linux-gnu", "", "lanes"),
        ("aarch64-unknown-linux-gnu", "+neon", "neon"),
        ("arm64-apple-darwin23.4.0", "", "neon"),
        ("powerpc64le-unknown-linux-gnu", "+altivec", "lanes"),
    ],
)
def test_best_lookup(triple, features, lookup):
    assert _lookup.best_lookup(triple, features) == lookup


@pytest.mark.parametrize(
    ("lookup", "triple", "cpu", "instruction"),
    [
        ("neon", "aarch64-linux-gnu", "generic", "tbl"),
        ("neon", "arm64-apple-darwin", "apple-m1", "tbl"),
        ("avx512bw", "x86_64-linux-gnu", "x86-64-v4", "vpshufb"),
        ("avx2", "x86_64-linux-gnu", "x86-64-v3", "vpshufb"),
        ("ssse3", "x86_64-linux-gnu", "x86-64-v2", "pshufb"),
    ],
)
def test_lookup_becomes_one_instruction(lookup, triple, cpu, instruction):
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    try:
        target = binding.Target.from_triple(triple)
    except RuntimeError:
        pytest.skip(f"this llvmlite cannot compile for {triple}")
    module = ir.Module("check")
    module.triple = triple
    byte, word = ir.IntType(8), ir.IntType(64)
    parameters = [byte.as_pointer(), word, byte.as_pointer(), word, byte, word.as_pointer()]
    function = ir.Function(module, ir.FunctionType(ir.IntType(1), parameters), "check")
    builder = ir.IRBuilder(function.append_basic_block())
    builder.ret(_lookup.emit_candidate_masks(builder, lookup, *function.args))
    parsed = binding.parse_assembly(str(module))
    parsed.verify()
    code = target.create_target_machine(cpu=cpu, opt=3).emit_assembly(parsed)
    used = [line.split()[0] for line in code.splitlines() if line.startswith("\t") and line.split()[1:]]
    assert sum(u.startswith(instruction) for u in used) >= 2 * _lookup.GROUPS
