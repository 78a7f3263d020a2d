"""Vectors of 16 floats in Numba kernels, and tiles of them: what a loop over scalars leaves to the compiler's luck.

A sum of outer products is fast only if a tile of it stays in registers, several rows by several vectors, and LLVM makes
no such tile of loops over arrays: it would have to prove first that no array overlaps another. So the noise kernels
say it themselves, in LLVM's vectors. These belong to no instruction set: LLVM splits them into what the CPU has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic, models, register_model

LANES = 16
TILE_VECTORS = 2
TILE_COLUMNS = TILE_VECTORS * LANES

_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_INTS = ir.VectorType(ir.IntType(32), LANES)


class VectorType(types.Type):
    """``LANES`` float32 in one value."""

    def __init__(self) -> None:
        super().__init__("float32 vector")


vector = VectorType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _FLOATS)


def _address(context: Any, builder: Any, kind: Any, array: Any, row: Any, column: Any, target: Any) -> Any:
    """Pointer to items ``column`` and following, counted in the element type of ``target``, of a row of a 2-D array."""
    struct = context.make_array(kind)(context, builder, array)
    stride = cgutils.unpack_tuple(builder, struct.strides, 2)[0]
    item = target.element if isinstance(target, ir.VectorType) else target
    size = context.get_abi_sizeof(item)
    step = builder.add(builder.mul(row, stride), builder.mul(column, stride.type(size)))
    return builder.bitcast(cgutils.pointer_add(builder, struct.data, step), target.as_pointer())


def _load(builder: Any, pointer: Any) -> Any:
    return builder.load(pointer, align=4)


def _splat(builder: Any, scalar: Any, lanes: int = LANES) -> Any:
    undefined = ir.Constant(ir.VectorType(ir.FloatType(), lanes), ir.Undefined)
    zero = ir.IntType(32)(0)
    first = builder.insert_element(undefined, scalar, zero)
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), lanes), None))


def _fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    kind = ir.FunctionType(_FLOATS, [_FLOATS] * 3)
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32")
    return builder.call(function, [a, b, c])


@intrinsic
def load(typing_context: Any, array: Any, row: Any, column: Any) -> Any:  # noqa: ARG001 - as Numba prescribes
    """Return ``array[row, column : column + LANES]``, float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _load(builder, _address(context, builder, signature.args[0], *arguments, _FLOATS))

    return vector(array, types.intp, types.intp), generate


@intrinsic
def store(typing_context: Any, value: Any, array: Any, row: Any, column: Any) -> Any:  # noqa: ARG001 - as above
    """Write a vector to ``array[row, column : column + LANES]``, float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value, *place = arguments
        builder.store(value, _address(context, builder, signature.args[1], *place, _FLOATS), align=4)

    return types.void(vector, array, types.intp, types.intp), generate


def _elementwise(count: int, emit: Callable[..., Any]) -> Any:
    """Make an intrinsic of ``count`` vectors out of what a builder emits for them."""
    kinds = (vector,) * count

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - as above
        return emit(builder, *arguments)

    if count == 2:

        @intrinsic
        def operation(typing_context: Any, a: Any, b: Any) -> Any:  # noqa: ARG001 - as above
            return vector(*kinds), generate
    else:

        @intrinsic
        def operation(typing_context: Any, a: Any, b: Any, c: Any) -> Any:  # noqa: ARG001 - as above
            return vector(*kinds), generate

    return operation


add = _elementwise(2, lambda builder, a, b: builder.fadd(a, b))
subtract = _elementwise(2, lambda builder, a, b: builder.fsub(a, b))
multiply = _elementwise(2, lambda builder, a, b: builder.fmul(a, b))
fma = _elementwise(3, _fma)
lerp = _elementwise(3, lambda builder, a, b, t: _fma(builder, t, builder.fsub(b, a), a))


@intrinsic
def splat(typing_context: Any, value: Any) -> Any:  # noqa: ARG001 - as above
    """Return a vector of one float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - as above
        return _splat(builder, arguments[0])

    return vector(types.float32), generate


@intrinsic(prefer_literal=True)
def store_repeated(  # noqa: PLR0913
    typing_context: Any, lanes: Any, value: Any, array: Any, row: Any, column: Any  # noqa: ARG001 - as above
) -> Any:
    """Write one float32 to ``array[row, column : column + lanes]``; ``lanes`` is a constant."""
    count = _constant_integer(lanes, "lanes")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, value, *place = arguments
        repeated = _splat(builder, value, count)
        builder.store(repeated, _address(context, builder, signature.args[2], *place, repeated.type), align=4)

    return types.void(lanes, types.float32, array, types.intp, types.intp), generate


def _constant_integer(kind: Any, name: str) -> int:
    if not isinstance(kind, types.IntegerLiteral):
        raise TypingError(f"{name} must be a constant, not {kind}")
    return int(kind.literal_value)


@intrinsic(prefer_literal=True)
def tile_of(typing_context: Any, rows: Any, array: Any, row: Any, column: Any) -> Any:  # noqa: ARG001 - as above
    """Return a tile of ``rows`` (a constant) equal rows: ``array[row, column : column + TILE_COLUMNS]``."""
    kind = types.UniTuple(vector, _constant_integer(rows, "rows") * TILE_VECTORS)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _address(context, builder, signature.args[1], *arguments[1:], _FLOATS)
        one = [_load(builder, builder.gep(pointer, [ir.Constant(ir.IntType(64), i)])) for i in range(TILE_VECTORS)]
        return cgutils.pack_array(builder, one * (len(kind) // TILE_VECTORS))

    return kind(rows, array, types.intp, types.intp), generate


@intrinsic
def add_product(  # noqa: ARG001, PLR0913
    typing_context: Any, tile: Any, factors: Any, k: Any, first: Any, terms: Any, row: Any, column: Any
) -> Any:
    """Return ``tile[r, c] + factors[k, first + r] * terms[row, column + c]``, fused."""
    signature = tile(tile, factors, types.intp, types.intp, terms, types.intp, types.intp)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tile, factors, k, first, terms, row, column = arguments
        sums = cgutils.unpack_tuple(builder, tile)
        scalar = _address(context, builder, signature.args[1], factors, k, first, ir.FloatType())
        pointer = _address(context, builder, signature.args[4], terms, row, column, _FLOATS)
        index = [ir.Constant(ir.IntType(64), i) for i in range(len(sums))]
        columns = [_load(builder, builder.gep(pointer, [index[i]])) for i in range(TILE_VECTORS)]
        for r in range(len(sums) // TILE_VECTORS):
            factor = _splat(builder, builder.load(builder.gep(scalar, [index[r]])))
            for i in range(TILE_VECTORS):
                place = r * TILE_VECTORS + i
                sums[place] = _fma(builder, factor, columns[i], sums[place])
        return cgutils.pack_array(builder, sums)

    return signature, generate


def _constant(value: float) -> Any:
    kind = _INTS if isinstance(value, int) else _FLOATS
    return ir.Constant(kind, [value] * LANES)


def _to_float32(builder: Any, value: Any) -> Any:  # noqa: ARG001 - as its siblings
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
    # The steps of csrc/core/half.h, which explains them.
    bits = builder.bitcast(value, _INTS)
    sign = builder.and_(builder.lshr(bits, _constant(16)), _constant(0x8000))
    magnitude = builder.and_(bits, _constant(0x7FFFFFFF))
    odd = builder.and_(builder.lshr(magnitude, _constant(13)), _constant(1))
    normal = builder.add(builder.sub(magnitude, _constant(112 << 23)), builder.add(odd, _constant(0xFFF)))
    normal = builder.lshr(normal, _constant(13))
    aligned = builder.fadd(builder.bitcast(magnitude, _FLOATS), _constant(0.5))
    tiny = builder.sub(builder.bitcast(aligned, _INTS), _constant(0x3F000000))
    small = builder.icmp_unsigned("<", magnitude, _constant(113 << 23))
    half = builder.or_(sign, builder.select(small, tiny, normal))
    return builder.trunc(half, ir.VectorType(ir.IntType(16), LANES))


def _store_tile_as(convert: Callable[[Any, Any], Any]) -> Any:
    """Make an intrinsic that converts a tile and writes it to rows of bytes."""

    @intrinsic
    def store_tile(typing_context: Any, tile: Any, out: Any, row: Any, column: Any) -> Any:  # noqa: ARG001 - as above
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            tile, out, row, column = arguments
            for place, value in enumerate(cgutils.unpack_tuple(builder, tile)):
                r, i = divmod(place, TILE_VECTORS)
                result = convert(builder, value)
                line, start = builder.add(row, row.type(r)), builder.add(column, column.type(i * LANES))
                pointer = _address(context, builder, signature.args[1], out, line, start, result.type)
                builder.store(result, pointer, align=1)

        return types.void(tile, out, types.intp, types.intp), generate

    return store_tile


store_float32 = _store_tile_as(_to_float32)
store_float16 = _store_tile_as(_to_float16)
store_bfloat16 = _store_tile_as(_to_bfloat16)
store_grey = _store_tile_as(_to_grey)
