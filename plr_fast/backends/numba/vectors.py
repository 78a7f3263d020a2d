"""Vectors of 16 floats in Numba kernels, and tiles of them: what loops over scalars leave to the compiler's luck.

A sum of products of row factors and column terms is fast if a tile of it, several rows by several vectors, stays in
registers. LLVM makes no such tile out of loops over arrays, for it would first have to prove that no array overlaps
another. So the noise kernels say what they want in LLVM's own vectors. These belong to no instruction set: LLVM splits
them into what the CPU has. Places are given as array, row and column; nothing is checked against the array's shape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic, models, register_model


def _cpu_has(feature: str) -> bool:
    try:
        return bool(get_host_cpu_features().get(feature))
    except RuntimeError:  # LLVM cannot tell on this system
        return False


LANES = 16
# Four rows of two vectors are the best use of the 32 wide registers of AVX-512; 16 half as wide hold one vector a row.
TILE_VECTORS = 2 if _cpu_has("avx512f") else 1
TILE_COLUMNS = TILE_VECTORS * LANES

_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_FLOATS, _INTS = ir.VectorType(_FLOAT, LANES), ir.VectorType(_INT, LANES)


class VectorType(types.Type):  # type: ignore[misc]  # Numba has no type hints
    """Numba's type of ``LANES`` float32 in one value."""

    def __init__(self) -> None:
        super().__init__("float32 vector")


vector = VectorType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _FLOATS)


# What the intrinsics are made of: these emit LLVM instructions.


def _address(context: Any, builder: Any, target: Any, kind: Any, array: Any, row: Any, column: Any) -> Any:
    """Return a pointer to ``target`` in a row of a 2-D array; columns are counted in the items of ``target``."""
    struct = context.make_array(kind)(context, builder, array)
    stride = cgutils.unpack_tuple(builder, struct.strides, 2)[0]
    item = target.element if isinstance(target, ir.VectorType) else target
    step = builder.add(builder.mul(row, stride), builder.mul(column, stride.type(context.get_abi_sizeof(item))))
    return builder.bitcast(cgutils.pointer_add(builder, struct.data, step), target.as_pointer())


def _neighbours(builder: Any, pointer: Any, count: int) -> list[Any]:
    """Return the ``count`` values that lie from ``pointer`` on."""
    return [builder.load(builder.gep(pointer, [_INT(i)]), align=4) for i in range(count)]


def _splat(builder: Any, scalar: Any, lanes: int = LANES) -> Any:
    undefined = ir.Constant(ir.VectorType(_FLOAT, lanes), ir.Undefined)
    first = builder.insert_element(undefined, scalar, _INT(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_INT, lanes), None))


def _fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    kind = ir.FunctionType(_FLOATS, [_FLOATS] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32"), [a, b, c])


def _constant(value: float) -> Any:
    return ir.Constant(_INTS if isinstance(value, int) else _FLOATS, [value] * LANES)


def _literal(kind: Any, name: str) -> int:
    if not isinstance(kind, types.IntegerLiteral):
        raise TypingError(f"{name} must be a constant, not {kind}")
    return int(kind.literal_value)


# Single vectors. The first argument of an intrinsic and the signature in its generator are as Numba prescribes.


@intrinsic
def load(typing_context: Any, array: Any, row: Any, column: Any) -> Any:  # noqa: ARG001
    """Return ``array[row, column : column + LANES]``, float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_address(context, builder, _FLOATS, signature.args[0], *arguments), align=4)

    return vector(array, types.intp, types.intp), generate


@intrinsic
def store(typing_context: Any, value: Any, array: Any, row: Any, column: Any) -> Any:  # noqa: ARG001
    """Write a vector to ``array[row, column : column + LANES]``, float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value, *place = arguments
        builder.store(value, _address(context, builder, _FLOATS, signature.args[1], *place), align=4)

    return types.void(vector, array, types.intp, types.intp), generate


@intrinsic(prefer_literal=True)
def store_repeated(typing_context: Any, lanes: Any, value: Any, array: Any, row: Any, column: Any) -> Any:  # noqa: ARG001
    """Write one float32 to all of ``array[row, column : column + lanes]``; ``lanes`` is a constant."""
    count = _literal(lanes, "lanes")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, value, *place = arguments
        repeated = _splat(builder, value, count)
        builder.store(repeated, _address(context, builder, repeated.type, signature.args[2], *place), align=4)

    return types.void(lanes, types.float32, array, types.intp, types.intp), generate


@intrinsic
def splat(typing_context: Any, value: Any) -> Any:  # noqa: ARG001
    """Return a vector of one float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return _splat(builder, arguments[0])

    return vector(types.float32), generate


def _two(emit: Callable[..., Any]) -> Any:
    @intrinsic
    def operation(typing_context: Any, a: Any, b: Any) -> Any:  # noqa: ARG001
        return vector(vector, vector), lambda context, builder, signature, pair: emit(builder, *pair)  # noqa: ARG005

    return operation


def _three(emit: Callable[..., Any]) -> Any:
    @intrinsic
    def operation(typing_context: Any, a: Any, b: Any, c: Any) -> Any:  # noqa: ARG001
        return vector(vector, vector, vector), lambda context, builder, signature, three: emit(builder, *three)  # noqa: ARG005

    return operation


add = _two(lambda builder, a, b: builder.fadd(a, b))
subtract = _two(lambda builder, a, b: builder.fsub(a, b))
multiply = _two(lambda builder, a, b: builder.fmul(a, b))
fma = _three(_fma)
lerp = _three(lambda builder, a, b, t: _fma(builder, t, builder.fsub(b, a), a))


# Tiles: tuples of vectors, row by row, TILE_VECTORS in each.


@intrinsic(prefer_literal=True)
def tile_of(typing_context: Any, rows: Any, array: Any, row: Any, column: Any) -> Any:  # noqa: ARG001
    """Return a tile of equal rows, ``array[row, column : column + TILE_COLUMNS]``; ``rows`` is a constant."""
    count = _literal(rows, "rows")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, *place = arguments
        pointer = _address(context, builder, _FLOATS, signature.args[1], *place)
        return cgutils.pack_array(builder, _neighbours(builder, pointer, TILE_VECTORS) * count)

    return types.UniTuple(vector, count * TILE_VECTORS)(rows, array, types.intp, types.intp), generate


@intrinsic
def add_product(
    typing_context: Any, tile: Any, factors: Any, k: Any, first: Any, terms: Any, row: Any, column: Any  # noqa: ARG001
) -> Any:  # fmt: skip
    """Return ``tile[r, c] + factors[k, first + r] * terms[row, column + c]``, fused."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tile, factors, k, first, terms, row, column = arguments
        sums = cgutils.unpack_tuple(builder, tile)
        scalar = _address(context, builder, _FLOAT, signature.args[1], factors, k, first)
        pointer = _address(context, builder, _FLOATS, signature.args[4], terms, row, column)
        columns = _neighbours(builder, pointer, TILE_VECTORS)
        rows = [_splat(builder, factor) for factor in _neighbours(builder, scalar, len(sums) // TILE_VECTORS)]
        products = [(factor, term) for factor in rows for term in columns]
        return cgutils.pack_array(
            builder, [_fma(builder, *product, sum_) for product, sum_ in zip(products, sums, strict=True)]
        )

    return tile(tile, factors, types.intp, types.intp, terms, types.intp, types.intp), generate


def _to_float32(builder: Any, value: Any) -> Any:  # noqa: ARG001
    return value


def _to_grey(builder: Any, value: Any) -> Any:
    scaled = _fma(builder, value, _constant(127.5), _constant(128.0))
    return builder.trunc(builder.fptosi(scaled, _INTS), ir.VectorType(ir.IntType(8), LANES))


def _to_bfloat16(builder: Any, value: Any) -> Any:
    bits = builder.bitcast(value, _INTS)
    odd = builder.and_(builder.lshr(bits, _constant(16)), _constant(1))
    rounded = builder.add(builder.add(bits, _constant(0x7FFF)), odd)
    return builder.trunc(builder.lshr(rounded, _constant(16)), ir.VectorType(ir.IntType(16), LANES))


def _to_float16(builder: Any, value: Any) -> Any:
    # csrc/core/half.h explains these steps.
    bits = builder.bitcast(value, _INTS)
    sign = builder.and_(builder.lshr(bits, _constant(16)), _constant(0x8000))
    magnitude = builder.and_(bits, _constant(0x7FFFFFFF))
    odd = builder.and_(builder.lshr(magnitude, _constant(13)), _constant(1))
    normal = builder.add(builder.sub(magnitude, _constant(112 << 23)), builder.add(odd, _constant(0xFFF)))
    normal = builder.lshr(normal, _constant(13))
    aligned = builder.fadd(builder.bitcast(magnitude, _FLOATS), _constant(0.5))
    tiny = builder.sub(builder.bitcast(aligned, _INTS), builder.bitcast(_constant(0.5), _INTS))
    small = builder.icmp_unsigned("<", magnitude, _constant(113 << 23))
    half = builder.or_(sign, builder.select(small, tiny, normal))
    return builder.trunc(half, ir.VectorType(ir.IntType(16), LANES))


def _store_tile_as(convert: Callable[[Any, Any], Any]) -> Any:
    """Make an intrinsic that converts a tile and writes it to rows of bytes; columns are counted in pixels."""

    @intrinsic
    def store_tile(typing_context: Any, tile: Any, out: Any, row: Any, column: Any) -> Any:  # noqa: ARG001
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            tile, out, row, column = arguments
            for place, value in enumerate(cgutils.unpack_tuple(builder, tile)):
                r, i = divmod(place, TILE_VECTORS)
                result = convert(builder, value)
                line, start = builder.add(row, row.type(r)), builder.add(column, column.type(i * LANES))
                pointer = _address(context, builder, result.type, signature.args[1], out, line, start)
                builder.store(result, pointer, align=1)

        return types.void(tile, out, types.intp, types.intp), generate

    return store_tile


store_float32 = _store_tile_as(_to_float32)
store_float16 = _store_tile_as(_to_float16)
store_bfloat16 = _store_tile_as(_to_bfloat16)
store_grey = _store_tile_as(_to_grey)
