"""Sixteen floats that compiled kernels treat as one value: a vector register, or as many as the CPU needs for it.

Numba leaves it to the compiler whether a loop becomes vector instructions, and it gives up where a loop has a branch,
or a trip count that it does not know. A kernel that is written in `Lanes` says what it wants:

    power = a * load(work, p) + b
    hit = power > floor
    if some(hit):
        store(work, p, where(hit, power, floor))

Lanes and float32 scalars mix in + - * /, comparisons, `smaller` and `where`; comparisons give `Hits`, which & joins.
Products and sums may be fused, and sums reordered: bits are the same again on the same machine, not on another.
"""

import operator

import llvmlite.ir as ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, overload, register_model

COUNT = 16
_FAST = ("contract", "reassoc", "nsz", "arcp")
_FLOAT, _BIT = ir.FloatType(), ir.IntType(1)
_VECTOR, _BITS = ir.VectorType(_FLOAT, COUNT), ir.VectorType(_BIT, COUNT)


class _LanesType(types.Type):
    pass


class _HitsType(types.Type):
    pass


Lanes, Hits = _LanesType("Lanes"), _HitsType("Hits")


@register_model(_LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _VECTOR)


@register_model(_HitsType)
class _HitsModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _BITS)


def _spread(builder, value, kind):
    """Lanes of a scalar; lanes are what they are."""
    if kind is Lanes:
        return value
    one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), COUNT), [0] * COUNT))


def _mixes(*kinds) -> bool:
    """Lanes and float32, not all of them scalars."""
    return Lanes in kinds and all(kind in (Lanes, types.float32) for kind in kinds)


def _operation(symbol, result, emit):
    """Let kernels apply a Python operator to lanes; `emit(builder, a, b)` writes the instruction."""

    @intrinsic
    def apply(context, a, b):
        def generate(context, *call):
            builder, signature, arguments = call
            return emit(builder, *(_spread(builder, v, kind) for v, kind in zip(arguments, signature.args)))

        return result(a, b), generate

    @overload(symbol, inline="always")
    def choose(a, b):
        return (lambda a, b: apply(a, b)) if _mixes(a, b) else None  # pyright: ignore[reportCallIssue]


_operation(operator.add, Lanes, lambda builder, a, b: builder.fadd(a, b, flags=_FAST))
_operation(operator.sub, Lanes, lambda builder, a, b: builder.fsub(a, b, flags=_FAST))
_operation(operator.mul, Lanes, lambda builder, a, b: builder.fmul(a, b, flags=_FAST))
_operation(operator.truediv, Lanes, lambda builder, a, b: builder.fdiv(a, b, flags=_FAST))
_operation(operator.gt, Hits, lambda builder, a, b: builder.fcmp_ordered(">", a, b))
_operation(operator.lt, Hits, lambda builder, a, b: builder.fcmp_ordered("<", a, b))


@intrinsic
def _both(context, a, b):
    return Hits(a, b), lambda context, builder, signature, arguments: builder.and_(*arguments)


@overload(operator.and_, inline="always")
def _and(a, b):
    return (lambda a, b: _both(a, b)) if a is Hits and b is Hits else None  # pyright: ignore[reportCallIssue]


@intrinsic
def where(context, hits, a, b):
    """The lanes of a that are hit, and of b that are not."""

    def generate(context, *call):
        builder, signature, arguments = call
        sides = (_spread(builder, v, kind) for v, kind in zip(arguments[1:], signature.args[1:]))
        return builder.select(arguments[0], *sides)

    return Lanes(hits, a, b), generate


@intrinsic
def smaller(context, a, b):
    """The smaller of two, lane by lane."""

    def generate(context, *call):
        builder, signature, arguments = call
        a, b = (_spread(builder, v, kind) for v, kind in zip(arguments, signature.args))
        return builder.select(builder.fcmp_ordered("<", a, b), a, b)

    return Lanes(a, b), generate


@intrinsic
def lanes(context, value):
    """A float32 in every lane."""
    return Lanes(value), lambda context, builder, signature, arguments: _spread(builder, arguments[0], None)


@intrinsic
def some(context, hits):
    """Whether any lane is hit."""

    def generate(context, *call):
        builder, _, arguments = call
        number = builder.bitcast(arguments[0], ir.IntType(COUNT))
        return builder.icmp_unsigned("!=", number, ir.Constant(number.type, 0))

    return types.boolean(hits), generate


@intrinsic
def total(context, values):
    """The sum of all lanes."""

    def generate(context, *call):
        builder, _, arguments = call
        kind = ir.FunctionType(_FLOAT, [_FLOAT, _VECTOR])
        add = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.fadd.v{COUNT}f32")
        return builder.call(add, [ir.Constant(_FLOAT, 0.0), arguments[0]], fastmath=_FAST)

    return types.float32(values), generate


def _place(context, builder, *, kind, at):
    """A pointer to the lanes that begin in a flat float32 array at an index."""
    data = context.make_array(kind)(context, builder, at[0]).data
    return builder.bitcast(builder.gep(data, [at[1]]), _VECTOR.as_pointer())


@intrinsic
def load(context, array, index):
    """Lanes from array[index:index + 16] of a contiguous float32 array; nothing checks that it is so long."""

    def generate(context, *call):
        builder, signature, arguments = call
        place = _place(context, builder, kind=signature.args[0], at=arguments)
        return builder.load(place, align=4)

    return Lanes(array, types.intp), generate


@intrinsic
def store(context, array, index, values):
    """Write lanes to array[index:index + 16] of a contiguous float32 array; nothing checks that it is so long."""

    def generate(context, *call):
        builder, signature, arguments = call
        place = _place(context, builder, kind=signature.args[0], at=arguments[:2])
        builder.store(arguments[2], place, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, Lanes), generate


@intrinsic
def prefetch(context, array, index):
    """Ask for the line of the cache that holds the element at a flat index of a contiguous array."""

    def generate(context, *call):
        builder, signature, arguments = call
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        place = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, number, number, number])
        ask = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(ask, [place, *(ir.Constant(number, value) for value in (0, 3, 1))])  # to read, to keep, of data
        return context.get_dummy_value()

    return types.void(array, types.intp), generate
