"""Byte lookups in vector registers, the one instruction that the scanner needs and numba does not offer.

A 16-entry table of bytes fits a vector register, and x86 (``pshufb``) and ARM (``tbl``) look up every byte of another
register in it at once. The scanner reads dinucleotide codes (0-15) and asks how far each falls short of the motif's
best pair: one lookup scores two motif positions at 16, 32 or 64 sequence positions. LLVM has no portable name for it,
so the code below writes LLVM IR through numba's ``intrinsic`` and picks the instruction of the processor that numba
compiles for. Processors with neither get a plain loop over the lanes: slower, same answer.

numba keeps compiled code by the date of ``_kernel.py``: touch that file when this one changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LOOKUP", "STEP", "WIDTH", "candidate_masks", "lowest_bit"]

_cgutils: Any = cgutils  # no types

I8 = ir.IntType(8)
I32 = ir.IntType(32)
I64 = ir.IntType(64)

GROUPS = 4
"""Vectors of positions handled per call: eight sums (both strands) hide the latency of the lookups."""

_INSTRUCTIONS = {
    "avx512bw": (64, "llvm.x86.avx512.pshuf.b.512"),
    "avx2": (32, "llvm.x86.avx2.pshuf.b"),
    "ssse3": (16, "llvm.x86.ssse3.pshuf.b.128"),
    "neon": (16, "llvm.aarch64.neon.tbl1.v16i8"),
    "lanes": (16, ""),
}
"""Name -> vector width in bytes and LLVM intrinsic, best first."""


def best_lookup(triple: str, features: str) -> str:
    """Name the best lookup of a processor, from LLVM's target triple and feature string (``+avx2,-avx512f``)."""
    if triple.startswith(("aarch64", "arm64")):
        return "neon"
    has = {f[1:] for f in features.split(",") if f.startswith("+")}
    if triple.startswith(("x86_64", "i686")):
        for name in ("avx512bw", "avx2", "ssse3"):
            if name in has:
                return name
    return "lanes"


# What numba compiles for, not what the machine has: NUMBA_CPU_NAME and NUMBA_CPU_FEATURES may say otherwise.
_triple, _, _features = cpu_target.target_context.codegen().magic_tuple()
LOOKUP = best_lookup(_triple, _features)
"""The lookup in use, a key of the table above."""
WIDTH = _INSTRUCTIONS[LOOKUP][0]
"""Sequence positions per vector."""
STEP = WIDTH * GROUPS
"""Sequence positions per call of :func:`candidate_masks`."""


def _vector(width: int) -> ir.VectorType:
    return ir.VectorType(I8, width)


def _splat(builder: ir.IRBuilder, byte: ir.Value, width: int) -> ir.Value:
    one = builder.insert_element(ir.Constant(_vector(width), ir.Undefined), byte, ir.Constant(I32, 0))
    pattern = ir.Constant(ir.VectorType(I32, width), [0] * width)
    return builder.shuffle_vector(one, ir.Constant(_vector(width), ir.Undefined), pattern)


def _load(builder: ir.IRBuilder, base: ir.Value, index: ir.Value, width: int) -> ir.Value:
    place = builder.bitcast(builder.gep(base, [index]), _vector(width).as_pointer())
    value = builder.load(place)
    value.align = 1
    return value


def _intrinsic(builder: ir.IRBuilder, name: str, arguments: list[ir.Value]) -> ir.Value:
    kind = arguments[0].type
    signature = ir.FunctionType(kind, [a.type for a in arguments])
    return builder.call(builder.module.globals.get(name) or ir.Function(builder.module, signature, name), arguments)


def _look_up(builder: ir.IRBuilder, table16: ir.Value, codes: ir.Value, lookup: str) -> ir.Value:
    """``table[codes]`` for every lane; ``table16`` holds 16 bytes, codes are below 16."""
    width, instruction = _INSTRUCTIONS[lookup]
    if instruction:
        # x86 looks up within each 16-byte part of the register, so every part gets the table.
        pattern = ir.Constant(ir.VectorType(I32, width), [i % 16 for i in range(width)])
        table = builder.shuffle_vector(table16, ir.Constant(_vector(16), ir.Undefined), pattern)
        return _intrinsic(builder, instruction, [table, codes])
    found = ir.Constant(_vector(width), ir.Undefined)
    for lane in range(width):
        at = ir.Constant(I32, lane)
        entry = builder.extract_element(table16, builder.zext(builder.extract_element(codes, at), I32))
        found = builder.insert_element(found, entry, at)
    return found


def emit_candidate_masks(
    builder: ir.IRBuilder,
    lookup: str,
    codes: ir.Value,
    start: ir.Value,
    tables: ir.Value,
    n_pairs: ir.Value,
    limit: ir.Value,
    masks: ir.Value,
) -> ir.Value:
    """Write the IR of :func:`candidate_masks` for a named lookup; pointers are ``i8*`` (``masks``: ``i64*``)."""
    width = _INSTRUCTIONS[lookup][0]
    vector = _vector(width)
    add = f"llvm.uadd.sat.v{width}i8"
    zero = ir.Constant(vector, None)
    sums = [[_cgutils.alloca_once_value(builder, zero) for _ in range(2)] for _ in range(GROUPS)]
    with _cgutils.for_range(builder, n_pairs, intp=I64) as pairs:
        table_at = builder.mul(pairs.index, ir.Constant(I64, 32))
        table = [_load(builder, tables, builder.add(table_at, ir.Constant(I64, 16 * s)), 16) for s in range(2)]
        code_at = builder.add(start, builder.mul(pairs.index, ir.Constant(I64, 2)))
        for group in range(GROUPS):
            code = _load(builder, codes, builder.add(code_at, ir.Constant(I64, group * width)), width)
            for strand in range(2):
                total = sums[group][strand]
                lost = _look_up(builder, table[strand], code, lookup)
                builder.store(_intrinsic(builder, add, [builder.load(total), lost]), total)
    # One comparison tells whether any of all the sums is small enough; which ones is asked only then.
    limits = _splat(builder, limit, width)
    totals = [builder.load(total) for group in sums for total in group]
    smallest = totals[0]
    for total in totals[1:]:
        smallest = _intrinsic(builder, f"llvm.umin.v{width}i8", [smallest, total])
    near = builder.icmp_unsigned("<=", smallest, limits)
    seen = builder.icmp_unsigned("!=", builder.bitcast(near, ir.IntType(width)), ir.Constant(ir.IntType(width), 0))
    with builder.if_then(seen, likely=False):
        for i, total in enumerate(totals):
            bits = builder.bitcast(builder.icmp_unsigned("<=", total, limits), ir.IntType(width))
            mask = bits if width == 64 else builder.zext(bits, I64)
            builder.store(mask, builder.gep(masks, [ir.Constant(I64, i)]))
    return seen


def _candidate_masks(
    typing_context: Any,
    codes: Any,
    start: Any,
    tables: Any,
    table_start: Any,
    n_pairs: Any,
    limit: Any,
    masks: Any,
) -> tuple[Any, Callable[..., ir.Value]]:
    """Tell where a motif may hit, from ``start`` on for ``STEP`` positions, on both strands.

    Parameters
    ----------
    codes
        uint8: ``4 * base + next base`` at every position, bases 0-3 (N is any of them); readable up
        to ``start + STEP + 2 * n_pairs``.
    start
        First position.
    tables, table_start
        uint8: from ``table_start`` on, per pair of motif positions 16 bytes for ``+`` and 16 for ``-``: the score lost
        against the best pair.
    n_pairs
        Pairs of motif positions.
    limit
        uint8: the score that may be lost.
    masks
        uint64, ``2 * GROUPS``, written if there is any: bit i of word ``2 * g + strand`` stands for position
        ``start + g * WIDTH + i``.

    Returns
    -------
    Whether there is any; N and the ends of sequences are not looked at.
    """
    signature = types.boolean(codes, types.int64, tables, types.int64, types.int64, types.uint8, masks)

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, arguments: list[ir.Value]) -> ir.Value:
        def pointer(i: int) -> ir.Value:
            return context.make_array(signature.args[i])(context, builder, arguments[i]).data

        _, start, _, table_start, n_pairs, limit, _ = arguments
        tables = builder.gep(pointer(2), [table_start])
        return emit_candidate_masks(builder, LOOKUP, pointer(0), start, tables, n_pairs, limit, pointer(6))

    return signature, codegen


def _lowest_bit(typing_context: Any, word: Any) -> tuple[Any, Callable[..., ir.Value]]:
    """Return the number of the lowest set bit of a uint64 that is not zero."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, arguments: list[ir.Value]) -> ir.Value:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), codegen


candidate_masks: Any = intrinsic(_candidate_masks)
lowest_bit: Any = intrinsic(_lowest_bit)
