"""Kernels of the compiled engine, in numba: one step of WaveNet, one row of PixelCNN's horizontal stack, and the draw.

They are in one file because numba's cache on disk notices changes in the file of the function that is called, not in
those of the functions that it calls. Arrays are flat or C-contiguous, float32 but for the noise; `rows` are rows of the
batch. Every kernel works on a block of rows, so that weights are read once per block, and frees Python's lock.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.base import BaseContext
from numba.core.typing import Signature
from numba.extending import intrinsic
from numpy.typing import NDArray

# Reordering of sums and contraction to fused multiply-adds; infinities and NaN keep their meaning.
FAST = {"contract", "reassoc", "nsz", "arcp"}
AVX512 = bool(llvm.get_host_cpu_features().get("avx512f"))
WIDTH = 16  # columns per vector; weights are padded to a multiple of it. LLVM splits vectors that a machine has not.
START = np.int64(0)  # numba would compile what takes a plain 0 once more, for that number alone
FAR = 16  # steps that the taps of the past are computed ahead for, at most

Array: TypeAlias = NDArray[np.generic]
Kernel: TypeAlias = Callable  # its types are numba's to infer


if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
    raise ImportError("NUMBA_DISABLE_JIT is set")


def compiled(kernel: Kernel) -> Kernel:
    """Compile a kernel when it is first called, once for all processes or, where nothing can be kept, in each anew."""
    options: dict[str, Any] = {"nogil": True, "fastmath": FAST, "error_model": "numpy", "boundscheck": False}
    try:
        return numba.njit(cache=True, **options)(kernel)
    except RuntimeError:  # no folder that numba would keep it in can be written to
        warnings.warn("compiled kernels cannot be kept, so every process takes seconds to compile them anew: let "
                      "NUMBA_CACHE_DIR name a folder that can be written to", stacklevel=1)  # fmt: skip
        return numba.njit(**options)(kernel)


class Film(NamedTuple):
    """(γ, β) of a block of rows, (places, layers, rows, features) flat each; empty where there is nothing to do.

    Attributes:
        inner: term added before a normalisation: the convolution's bias, the concatenated condition's part, and β if
            nothing stands between.
        gamma: factor γ.
        beta: term added last.
    """

    inner: Array
    gamma: Array
    beta: Array


class Drawing(NamedTuple):
    """How values are drawn: see `condgen.distributions`.

    Attributes:
        family: output family: 0 Bernoulli, 1 categorical, 2 mixture of logistics, 3 Gaussian.
        levels: number of whole levels.
        mixtures: number of components.
        channels: number of channels drawn together.
        least: floor of the log scales.
        temperature: divisor of logits and factor of scales.
        top_k: number of levels to keep; 0 for all.
        top_p: probability to keep.
        guidance: weight of the difference that conditions make to the logits: with another than 0, each sample has two
            rows, with conditions and without.
    """

    family: int
    levels: int
    mixtures: int
    channels: int
    least: float
    temperature: float
    top_k: int
    top_p: float
    guidance: float


@intrinsic
def _float_of_bits(context: BaseContext, bits: types.Type) -> tuple[Signature, Kernel]:
    """Take 32 bits as a float."""

    def generate(
        context: BaseContext, builder: ir.IRBuilder, signature: Signature, arguments: Sequence[ir.Value]
    ) -> ir.Value:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


def _tile(height: int, vectors: int) -> Kernel:
    """Make y += x @ w for a tile of y that stays in registers through the sum: `height` rows, `vectors` · 16 columns.

    A loop over columns in plain numba loads and stores y for every term and is five times slower.
    """

    @intrinsic
    def tile(context, y, at_y, ld_y, x, at_x, ld_x, w, at_w, ld_w, terms):
        index = types.intp
        signature = types.void(y, index, index, x, index, index, w, index, index, index)

        def generate(
            context: BaseContext, builder: ir.IRBuilder, signature: Signature, arguments: Sequence[ir.Value]
        ) -> ir.Value:
            return _tile_code(context, builder, signature.args, arguments, height, vectors)

        return signature, generate

    return tile


def _tile_code(
    context: BaseContext,
    builder: ir.IRBuilder,
    kinds: Sequence[types.Array],
    arguments: Sequence[ir.Value],
    height: int,
    vectors: int,
) -> ir.Value:
    """Write a tile's LLVM code: accumulators are loaded, a loop runs over the terms, accumulators are stored."""
    vector, index = ir.VectorType(ir.FloatType(), WIDTH), ir.IntType(64)
    y, at_y, ld_y, x, at_x, ld_x, w, at_w, ld_w, terms = arguments

    def pointer(kind: types.Type, array: ir.Value, at: ir.Value) -> ir.Value:
        return builder.gep(context.make_array(kind)(context, builder, array).data, [at])

    y, x, w = pointer(kinds[0], y, at_y), pointer(kinds[3], x, at_x), pointer(kinds[6], w, at_w)
    cells = [(row, column) for row in range(height) for column in range(vectors)]
    places = [builder.gep(y, [builder.add(builder.mul(index(r), ld_y), index(c * WIDTH))]) for r, c in cells]
    fused = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{WIDTH}f32"
    )
    starts = [_load(builder, place, vector) for place in places]
    before, loop, after = builder.block, builder.append_basic_block("terms"), builder.append_basic_block("stored")
    builder.branch(loop)
    builder.position_at_end(loop)
    k = builder.phi(index)
    sums = [builder.phi(vector) for _ in places]
    at_row = builder.gep(w, [builder.mul(k, ld_w)])
    weights = [_weights(builder, builder.gep(at_row, [index(c * WIDTH)]), kinds[6].dtype) for c in range(vectors)]
    rows = [builder.load(builder.gep(x, [builder.add(builder.mul(index(r), ld_x), k)])) for r in range(height)]
    entries = [_spread(builder, row) for row in rows]
    ends = [builder.call(fused, [entries[r], weights[c], sum]) for (r, c), sum in zip(cells, sums, strict=True)]
    following = builder.add(k, index(1))
    builder.cbranch(builder.icmp_signed("<", following, terms), loop, after)
    for phi, first, last in ((k, index(0), following), *zip(sums, starts, ends, strict=True)):
        phi.add_incoming(first, before)
        phi.add_incoming(last, loop)
    builder.position_at_end(after)
    for place, end in zip(places, ends, strict=True):
        builder.store(end, builder.bitcast(place, vector.as_pointer())).align = 4
    return context.get_dummy_value()


def _load(builder: ir.IRBuilder, place: ir.Value, vector: ir.VectorType, align: int = 4) -> ir.Value:
    loaded = builder.load(builder.bitcast(place, vector.as_pointer()))
    loaded.align = align
    return loaded


def _weights(builder: ir.IRBuilder, place: ir.Value, dtype: types.Type) -> ir.Value:
    """Load a vector of weights; those of 16 bits are the upper halves of floats (bfloat16)."""
    vector = ir.VectorType(ir.FloatType(), WIDTH)
    if dtype == types.float32:
        return _load(builder, place, vector)
    whole = ir.VectorType(ir.IntType(32), WIDTH)
    halves = builder.zext(_load(builder, place, ir.VectorType(ir.IntType(16), WIDTH), 2), whole)
    return builder.bitcast(builder.shl(halves, whole([16] * WIDTH)), vector)


def _spread(builder: ir.IRBuilder, number: ir.Value) -> ir.Value:
    """Repeat a number over a vector."""
    blank = ir.Constant(ir.VectorType(ir.FloatType(), WIDTH), ir.Undefined)
    lanes = ir.VectorType(ir.IntType(32), WIDTH)
    return builder.shuffle_vector(
        builder.insert_element(blank, number, ir.IntType(32)(0)), blank, ir.Constant(lanes, [0] * WIDTH)
    )


# Tiles fill the vector registers: 32 of 16 columns, or 16 of 8 columns.
_tall, _tall_narrow = (_tile(8, 2), _tile(8, 1)) if AVX512 else (_tile(4, 1), _tile(4, 1))
_low, _low_narrow = (_tile(1, 8), _tile(1, 1)) if AVX512 else (_tile(1, 4), _tile(1, 1))
_half, _half_narrow = (_tile(2, 8), _tile(2, 1)) if AVX512 else (_tile(2, 2), _tile(2, 1))
TALL, TALL_COLUMNS, LOW_COLUMNS, HALF_COLUMNS = (8, 32, 128, 128) if AVX512 else (4, 16, 64, 32)


@compiled
def matmul(y, at_y, ld_y, x, at_x, ld_x, rows, w, at_w, columns, terms):
    """Add x @ w to y: x (rows, terms), w (terms, columns), y (rows, columns); columns are a multiple of 16."""
    row = 0
    tall = rows // TALL * TALL
    for column in range(0, columns - columns % TALL_COLUMNS, TALL_COLUMNS):
        for row in range(0, tall, TALL):
            _tall(y, at_y + row * ld_y + column, ld_y, x, at_x + row * ld_x, ld_x, w, at_w + column, columns, terms)
    for column in range(columns - columns % TALL_COLUMNS, columns, WIDTH):
        for row in range(0, tall, TALL):
            _tall_narrow(y, at_y + row * ld_y + column, ld_y, x, at_x + row * ld_x, ld_x, w, at_w + column, columns,
                         terms)  # fmt: skip
    paired = tall + (rows - tall) // 2 * 2
    wide = columns - columns % HALF_COLUMNS
    for row in range(tall, paired, 2):
        for column in range(0, wide, HALF_COLUMNS):
            _half(y, at_y + row * ld_y + column, ld_y, x, at_x + row * ld_x, ld_x, w, at_w + column, columns, terms)
        for column in range(wide, columns, WIDTH):
            _half_narrow(y, at_y + row * ld_y + column, ld_y, x, at_x + row * ld_x, ld_x, w, at_w + column, columns,
                         terms)  # fmt: skip
    wide = columns - columns % LOW_COLUMNS
    for row in range(paired, rows):
        for column in range(0, wide, LOW_COLUMNS):
            _low(y, at_y + row * ld_y + column, ld_y, x, at_x + row * ld_x, ld_x, w, at_w + column, columns, terms)
        for column in range(wide, columns, WIDTH):
            _low_narrow(y, at_y + row * ld_y + column, ld_y, x, at_x + row * ld_x, ld_x, w, at_w + column, columns,
                        terms)  # fmt: skip


@compiled
def exponential(x):
    """e^x in float32 to 2 units in the last place, for x up to 88; below −87 it is e^−87. NaN stays NaN."""
    x = np.float32(-87) if x < np.float32(-87) else x
    whole = np.rint(x * np.float32(1.44269504))
    # ln 2 in two parts, the first exact in few bits, so that the remainder is.
    rest = x - whole * np.float32(0.693359375) + whole * np.float32(2.12194440e-4)
    series = np.float32(1 / 5040)  # Taylor: |rest| ≤ ln 2 / 2
    series = series * rest + np.float32(1 / 720)
    series = series * rest + np.float32(1 / 120)
    series = series * rest + np.float32(1 / 24)
    series = series * rest + np.float32(1 / 6)
    series = series * rest + np.float32(0.5)
    series = series * rest + np.float32(1)
    series = series * rest + np.float32(1)
    return series * _float_of_bits(np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)))


@compiled
def gate(x, ld, rows, features, gated):
    """Write tanh(a) σ(b) of each row's halves, as (e^2a − 1) / ((e^2a + 1) (1 + e^−b)): one division.

    Args:
        x: halves a and b, (rows, ld): `features` of each, one after the other.
        ld: entries from row to row.
        rows: rows of the block.
        features: features of the result.
        gated: output, (rows, features + 1); the last entry of a row, the 1 that a bias multiplies, is not changed.
    """
    top = np.float32(40)  # beyond, both are flat in float32
    for row in range(rows):
        a, b = x[row * ld : row * ld + features], x[row * ld + features : row * ld + 2 * features]
        out = gated[row * (features + 1) : row * (features + 1) + features]
        for i in range(features):
            two = a[i] + a[i]
            e = exponential(top if two > top else two)
            f = exponential(top if -b[i] > top else -b[i])
            out[i] = (e - np.float32(1)) / ((e + np.float32(1)) * (np.float32(1) + f))


@compiled
def modulate(acc, rows, features, ld, film, at, groups):
    """Normalise features (rows, ld) in place, group by group (0 groups: not at all), then apply γ and β.

    Args:
        acc: features, changed in place.
        rows: rows of the block.
        features: features of each row.
        ld: entries from row to row.
        film: (γ, β).
        at: offsets of the parameters of this layer and place, as `scopes` returns them.
        groups: groups of the normalisation.
    """
    if groups:
        for row in range(rows):
            for group in range(groups):
                begin, size = row * ld + group * (features // groups), features // groups
                normalise(acc[begin : begin + size])
    if len(film.gamma):
        gamma = film.gamma[at[1] : at[1] + rows * ld]
        for i in range(rows * ld):
            acc[i] *= gamma[i]
    if len(film.beta):
        add(acc, film.beta[at[2] : at[2] + rows * ld])


@compiled
def normalise(run):
    """Give a run of features mean 0 and variance 1, in place."""
    mean = np.float32(0)
    for i in range(len(run)):
        mean += run[i]
    mean /= np.float32(len(run))
    square = np.float32(0)
    for i in range(len(run)):
        square += (run[i] - mean) * (run[i] - mean)
    scale = np.float32(1) / np.sqrt(square / np.float32(len(run)) + np.float32(1e-5))
    for i in range(len(run)):
        run[i] = (run[i] - mean) * scale


@compiled
def scopes(film, place, layer, layers, size):
    """Say where a layer's parameters begin, `size` entries each; those of one place serve all places."""
    inner = (place if len(film.inner) > layers * size else 0) * layers + layer
    gamma = (place if len(film.gamma) > layers * size else 0) * layers + layer
    beta = (place if len(film.beta) > layers * size else 0) * layers + layer
    return inner * size, gamma * size, beta * size


@compiled
def add(x, y):
    """Add y to x in place."""
    for i in range(len(x)):
        x[i] += y[i]


@compiled
def draw(parameters, noise, values, drawing):
    """Draw the values of one step from its parameters, as the distributions' `from_uniform` does.

    Args:
        parameters: parameters of the step.
        noise: uniform numbers; standard logistic or normal ones for values drawn from a logistic or a Gaussian.
        values: output, the values drawn.
        drawing: options of the draw.
    """
    if drawing.family == 0:
        p = np.float32(1) / (np.float32(1) + np.exp(parameters[0] / np.float32(drawing.temperature)))
        values[0] = 1 if noise[0] >= p else 0
    elif drawing.family == 1:
        values[0] = _categorical(parameters[: drawing.levels], noise[0], drawing)
    elif drawing.family == 2:
        _mixture(parameters, noise, values, drawing)
    else:
        scale = _scale(parameters[1], drawing)
        values[0] = _level(parameters[0] + scale * np.float32(noise[0]), drawing.levels)


@compiled
def guide(logits, present, absent, weight):
    """Write present + weight · (present − absent)."""
    for i in range(len(logits)):
        logits[i] = present[i] + np.float32(weight) * (present[i] - absent[i])


@compiled
def _categorical(logits, uniform, drawing):
    """Invert the distribution function of L levels."""
    count = len(logits)
    mass = np.empty(count, np.float32)
    top = logits[0]
    for i in range(count):
        top = max(top, logits[i])
    # The largest is taken off behind the division, as a softmax does.
    temperature = np.float32(drawing.temperature)
    for i in range(count):
        mass[i] = logits[i] / temperature - top / temperature
    least = np.float32(-np.inf)
    if 0 < drawing.top_k < count or drawing.top_p < 1:
        least = _least(mass, drawing.top_k, drawing.top_p)
    for i in range(count):
        mass[i] = exponential(mass[i]) if mass[i] >= least else np.float32(0)
    return _invert(mass, uniform)


@compiled
def _least(logits, top_k, top_p):
    """Find the least logit that top-k, then top-p keep; the largest logit is 0."""
    ordered = logits.copy()
    descending(ordered)
    kept = len(ordered)
    if 0 < top_k < kept:
        while kept > top_k and ordered[kept - 1] < ordered[top_k - 1]:
            kept -= 1
    if top_p < 1:
        total = 0.0
        for i in range(kept):
            total += np.exp(np.float64(ordered[i]))
        before, i = 0.0, 0
        while i < kept and before < top_p * total:
            before += np.exp(np.float64(ordered[i]))
            i += 1
        kept = max(i, 1)
    return ordered[kept - 1]


@compiled
def descending(x):
    """Sort in place, by Shell's method: NumPy's takes seconds to compile."""
    gap = len(x) // 2
    while gap:
        for i in range(gap, len(x)):
            value, j = x[i], i
            while j >= gap and x[j - gap] < value:
                x[j] = x[j - gap]
                j -= gap
            x[j] = value
        gap = 1 if gap == 2 else gap * 5 // 11


@compiled
def _invert(mass, uniform):
    """Find the entry at which the sum of masses passes a uniform number times the whole."""
    total = 0.0
    for i in range(len(mass)):
        total += np.float64(mass[i])
    target, passed = uniform * total, 0.0
    for i in range(len(mass)):
        passed += np.float64(mass[i])
        if passed > target:
            return i
    return len(mass) - 1


@compiled
def _mixture(parameters, noise, values, drawing):
    """Pick a component, then draw its logistics, channel after channel."""
    channels, each = drawing.channels, len(parameters) // drawing.mixtures
    temperature = np.float32(drawing.temperature)
    mass = np.empty(drawing.mixtures, np.float32)
    top = parameters[0]
    for i in range(drawing.mixtures):
        top = max(top, parameters[i * each])
    for i in range(drawing.mixtures):
        mass[i] = exponential(parameters[i * each] / temperature - top / temperature)
    own = parameters[_invert(mass, noise[0]) * each :]
    for c in range(channels):
        mean = own[1 + c]
        for k in range(c):
            earlier = np.float32(values[k]) * np.float32(2 / (drawing.levels - 1)) - np.float32(1)
            mean += np.float32(np.tanh(own[1 + 2 * channels + c * (c - 1) // 2 + k])) * earlier
        x = mean + _scale(own[1 + channels + c], drawing) * np.float32(noise[1 + c])
        values[c] = _level(x, drawing.levels)


@compiled
def _scale(log_scale, drawing):
    """Bound a log scale and return the tempered scale."""
    bounded = min(max(log_scale, np.float32(drawing.least)), np.float32(7))
    return np.float32(np.exp(bounded + np.float32(np.log(drawing.temperature))))


@compiled
def _level(x, levels):
    """Round a number in [−1, 1] to its level; NaN becomes one too."""
    inside = min(max(x, np.float32(-1)), np.float32(1))
    level = np.int64(np.rint((inside + np.float32(1)) * np.float32((levels - 1) / 2)))
    return min(max(level, 0), levels - 1)


class WaveNetWeights(NamedTuple):
    """A WaveNet's weights and shape.

    Attributes:
        weights: entries of all matrices, (in, out) each, in the order of their use; out is padded to whole vectors, and
            so are the residual and the skip part of it. The last row of an output's matrix is its bias: its input
            ends in 1.
        table: numbers per layer: taps, dilation, offsets of its weights and of its past, and steps computed ahead.
        entry: features of each level, (levels, channels); or, for numbers, weight, bias and a level's width.
        sizes: channels, hidden, skip, head, parameters, levels of the input or 0 if it is a number, hop, groups of the
            normalisation or 0.
        skip_scale: factor of the sum of the skips.
    """

    weights: Array
    table: NDArray[np.int64]
    entry: Array
    sizes: tuple[int, int, int, int, int, int, int, int]
    skip_scale: float


@compiled
def padded(columns):
    """Round up to whole vectors."""
    return (columns + WIDTH - 1) // WIDTH * WIDTH


@compiled
def wavenet(net, film, drawing, first, last, past, noise, known, given, drawn, parameters):
    """Draw a run of samples for a block of rows.

    Taps of the past do not wait for the present sample: up to `dilation` steps of them are computed at once, which
    reads their weights once for all.

    Args:
        net: weights and shape of the network.
        film: (γ, β) of these rows; a place per frame, beginning with the frame of the first step.
        drawing: options of the draw.
        first: step that the run begins with.
        last: previous level per row, −1 for none; overwritten with the last level drawn.
        past: inputs of each layer in rings, (dilation · (taps − 1), rows, channels) each; step t is at t mod length.
        noise: random numbers, (rows, steps, uniforms), float64.
        known: mask of the steps whose levels are given, (steps,).
        given: levels of these, (rows, steps).
        drawn: output, the levels, (rows, steps).
        parameters: output, the parameters of every step, (rows, steps, parameters).
    """
    channels, hidden, skip, head, count, levels, hop, groups = net.sizes
    rows, steps = drawn.shape
    layers, wide, skip_at = len(net.table), padded(2 * hidden), padded(channels)
    ld = skip_at + padded(skip)
    paths, acc = np.zeros(rows * ld, np.float32), np.zeros(rows * wide, np.float32)
    gated = np.ones(rows * (hidden + 1), np.float32)
    ahead = np.zeros(layers * FAR * wide * rows, np.float32)
    headed = np.ones(rows * (max(skip, head) + 1), np.float32)
    ld_answers = max(padded(head), padded(count))
    answers, guided = np.zeros(rows * ld_answers, np.float32), np.zeros(count, np.float32)
    each = 1 if drawing.guidance == 0 else 2
    for i in range(steps):
        t = first + i
        paths[:] = 0
        enter(net.entry, levels, last, paths, ld, channels)
        for layer in range(layers):
            taps, dilation, at_w, at_past, block = net.table[layer]
            reach, own = (taps - 1) * dilation, layer * FAR * wide * rows
            if i == 0 or t % block == 0:
                look_back(net, layer, t - t % block, past, rows, ahead, own)
            at = scopes(film, t // hop - first // hop, layer, layers, rows * wide)
            source = own + t % block * rows * wide
            total(acc, ahead[source : source + rows * wide], film.inner[at[0] : at[0] + rows * wide])
            matmul(
                acc,
                START,
                wide,
                paths,
                START,
                ld,
                rows,
                net.weights,
                at_w + (taps - 1) * channels * wide,
                wide,
                channels,
            )
            for row in range(rows):
                to = at_past + (t % reach * rows + row) * channels
                copy(past[to : to + channels], paths[row * ld : row * ld + channels])
            modulate(acc, rows, 2 * hidden, wide, film, at, groups)
            gate(acc, wide, rows, hidden, gated)
            column = START if layer < layers - 1 else skip_at
            matmul(paths, column, ld, gated, START, hidden + 1, rows, net.weights, at_w + taps * channels * wide,
                   ld - column, hidden + 1)  # fmt: skip
        at_w = net.table[-1, 2] + net.table[-1, 0] * channels * wide + (hidden + 1) * padded(skip)
        respond(paths, skip_at, ld, skip, np.float32(net.skip_scale), head, count, rows, net.weights, at_w,
                at_w + (skip + 1) * padded(head), headed, answers)  # fmt: skip
        for row in range(rows):
            copy(parameters[row, i], answers[row * ld_answers : row * ld_answers + count])
        for row in range(0, rows, each):
            value = drawn[row, i : i + 1]
            if known[i]:
                value[0] = given[row, i]
            elif each == 2:
                guide(guided, parameters[row, i], parameters[row + 1, i], drawing.guidance)
                draw(guided, noise[row, i], value, drawing)
            else:
                draw(parameters[row, i], noise[row, i], value, drawing)
            for twin in range(row, row + each):
                drawn[twin, i] = last[twin] = value[0]


@compiled
def look_back(net, layer, begin, past, rows, ahead, own):
    """Write what the past taps of a layer give to the steps from `begin` on, (steps ahead, rows, padded 2 · hidden).

    Args:
        net: weights and shape of the network.
        layer: number of the layer.
        begin: first step, a multiple of the number of steps ahead.
        past: inputs of each layer, as in `wavenet`.
        rows: rows of the block.
        ahead: output for all layers, flat.
        own: offset of the layer's part of it.
    """
    channels, wide = net.sizes[0], padded(2 * net.sizes[1])
    taps, dilation, at_w, at_past, block = net.table[layer]
    ahead[own : own + block * rows * wide] = 0
    for tap in range(taps - 1):
        at = at_past + (begin - (taps - 1 - tap) * dilation) % ((taps - 1) * dilation) * rows * channels
        matmul(ahead, own, wide, past, at, channels, block * rows, net.weights, at_w + tap * channels * wide, wide,
               channels)  # fmt: skip


@compiled
def enter(entry, levels, last, h, ld, channels):
    """Write the first layer's input, (rows, ld): the features of the level before; before the first sample, leave 0."""
    for row in range(len(last)):
        own = h[row * ld : row * ld + channels]
        if last[row] >= 0 and levels:
            copy(own, entry[last[row] * channels : (last[row] + 1) * channels])
        elif last[row] >= 0:
            number = np.float32(last[row]) * entry[2 * channels] - np.float32(1)
            for i in range(channels):
                own[i] = entry[i] * number + entry[channels + i]


@compiled
def rectify(x, at, ld, rows, features, scale, out):
    """Write scaled and rectified features and a 1, (rows, features + 1); NaN stays."""
    for row in range(rows):
        own = x[at + row * ld : at + row * ld + features]
        to = out[row * (features + 1) : row * (features + 1) + features]
        for i in range(features):
            to[i] = np.float32(0) if own[i] < np.float32(0) else own[i] * scale
        out[row * (features + 1) + features] = np.float32(1)


@compiled
def respond(x, at, ld, features, scale, head, count, rows, w, at_w, at_last, headed, answers):
    """Run the head, ReLU–linear–ReLU–linear, on features (rows, ld) and write its answers, (rows, …)."""
    ld_answers = max(padded(head), padded(count))
    rectify(x, at, ld, rows, features, scale, headed)
    answers[:] = 0
    matmul(answers, START, ld_answers, headed, START, features + 1, rows, w, at_w, padded(head), features + 1)
    rectify(answers, START, ld_answers, rows, head, np.float32(1), headed)
    answers[:] = 0
    matmul(answers, START, ld_answers, headed, START, head + 1, rows, w, at_last, padded(count), head + 1)


@compiled
def copy(out, x):
    """Write x. Assigning to a slice would do, and take a second and a half to compile."""
    for i in range(len(out)):
        out[i] = x[i]


@compiled
def total(out, x, y):
    """Write x + y."""
    for i in range(len(out)):
        out[i] = x[i] + y[i]


class PixelCNNWeights(NamedTuple):
    """A PixelCNN's weights and shape.

    Attributes:
        weights: entries of all matrices, (in, out) each, in the order of their use, as in `WaveNetWeights`: the
            horizontal stack; the head, whose second matrix is one for each colour; the vertical stack, a matrix for
            each row of a kernel, followed by the link of each block.
        bias: bias of each vertical convolution, (blocks, padded 2p).
        table: numbers per block: features of its input, radius, offsets of its weights and of its inputs, 1 for a
            residual, offsets of the vertical convolution's weights and of its rows, dilation.
        sizes: p, head, parameters per step, steps per pixel, groups of the normalisation or 0.
    """

    weights: Array
    bias: Array
    table: NDArray[np.int64]
    sizes: tuple[int, int, int, int, int]


@compiled
def pixels(net, film, below, drawing, above, linked, inputs, noise, known, given, drawn, parameters):
    """Draw one row of an image for a block of rows of the batch, then run the vertical stack on it.

    What lies to the left of a pixel serves all its colours.

    Args:
        net: weights and shape of the network.
        film: (γ, β) of the horizontal stack for these rows and this row of the image; a place per column.
        below: (γ, β) of the vertical stack, likewise.
        drawing: options of the draw.
        above: last rows of each block's inputs in the vertical stack, (rows, reach + 1, reach + width + reach,
            features) flat; zeros on either side of the image.
        linked: features that the rows above add, (blocks, width, rows, padded 2p) flat; overwritten with those for the
            next row.
        inputs: inputs of each block, (rows, reach + width, features) flat; zeros to the left of the image.
        noise: random numbers, (rows, width · steps per pixel, uniforms), float64.
        known: mask of the pixels whose levels are given, (width,).
        given: levels of these, (rows, channels, width).
        drawn: output, the levels, (rows, channels, width).
        parameters: output, the parameters of every step, (rows, width · steps per pixel, parameters).
    """
    features, head, count, steps, _ = net.sizes
    rows, channels, width = drawn.shape
    blocks, wide, first = len(net.table), padded(2 * features), reach(net, START)
    each = rows * wide
    left, acc = np.zeros(blocks * each, np.float32), np.zeros(each, np.float32)
    gated = np.ones(rows * (features + 1), np.float32)
    headed = np.ones(rows * (max(features, head) + 1), np.float32)
    out = np.zeros(rows * padded(features), np.float32)
    ld_answers = max(padded(head), padded(count))
    answers, guided = np.zeros(rows * ld_answers, np.float32), np.zeros(count, np.float32)
    values, each_sample = np.zeros(channels // steps, np.int64), 1 if drawing.guidance == 0 else 2
    for column in range(width):
        for row in range(rows):
            at = (row * (first + width) + first + column) * channels
            inputs[at : at + channels] = 0
        for step in range(steps):
            for block in range(blocks):
                if step == 0:
                    look_left(net, film, linked, inputs, left, rows, width, column, block)
                cross(net, film, inputs, left[block * each : (block + 1) * each], acc, gated, out, rows, width,
                      column, block)  # fmt: skip
            at_w = net.table[-1, 2] + (net.table[-1, 1] + 1) * net.table[-1, 0] * wide
            at_w += (features + 1) * padded(features)
            at_own = at_w + (features + 1) * padded(head) + step * (head + 1) * padded(count)
            respond(out, START, padded(features), features, np.float32(1), head, count, rows, net.weights, at_w,
                    at_own, headed, answers)  # fmt: skip
            turn = column * steps + step
            for row in range(rows):
                copy(parameters[row, turn], answers[row * ld_answers : row * ld_answers + count])
            for row in range(0, rows, each_sample):
                if known[column]:
                    for i in range(len(values)):
                        values[i] = given[row, step * len(values) + i, column]
                elif each_sample == 2:
                    guide(guided, parameters[row, turn], parameters[row + 1, turn], drawing.guidance)
                    draw(guided, noise[row, turn], values, drawing)
                else:
                    draw(parameters[row, turn], noise[row, turn], values, drawing)
                for twin in range(row, row + each_sample):
                    at = (twin * (first + width) + first + column) * channels + step * len(values)
                    for i in range(len(values)):
                        drawn[twin, step * len(values) + i, column] = values[i]
                        inputs[at + i] = np.float32(values[i]) * np.float32(2 / (drawing.levels - 1)) - np.float32(1)
    descend(net, below, drawn, drawing.levels, above, linked)


@compiled
def descend(net, film, drawn, levels, above, linked):
    """Run the vertical stack on a row that was drawn.

    Args:
        net: weights and shape of the network.
        film: (γ, β) of the vertical stack, as `below` in `pixels`.
        drawn: levels of the row, (rows, channels, width).
        levels: number of whole levels.
        above: last rows of each block's inputs, as in `pixels`; they move up by a row.
        linked: output, the features added to the next row, as in `pixels`.
    """
    rows, channels, width = drawn.shape
    features, blocks, wide = net.sizes[0], len(net.table), padded(2 * net.sizes[0])
    each = rows * wide
    acc, gated = np.zeros(width * each, np.float32), np.ones(rows * (features + 1), np.float32)
    for block in range(blocks):
        move_up(net, block, rows, width, above)
    for row in range(rows):
        for column in range(width):
            to = lowest(net, START, row, column, width)
            for i in range(channels):
                above[to + i] = np.float32(drawn[row, i, column]) * np.float32(2 / (levels - 1)) - np.float32(1)
    for block in range(blocks):
        convolve_rows(net, block, rows, width, above, acc)
        at_w = (
            net.table[block, 5] + (net.table[block, 1] + 1) * (2 * net.table[block, 1] + 1) * net.table[block, 0] * wide
        )
        own = linked[block * width * each : (block + 1) * width * each]
        own[:] = 0
        matmul(own, START, wide, acc, START, wide, width * rows, net.weights, at_w, wide, 2 * features)
        for column in range(width if block < blocks - 1 else 0):
            at = scopes(film, column, block, blocks, each)
            place = acc[column * each : (column + 1) * each]
            add(place, film.inner[at[0] : at[0] + each])
            modulate(place, rows, 2 * features, wide, film, at, net.sizes[4])
            gate(place, wide, rows, features, gated)
            for row in range(rows):
                to = lowest(net, block + 1, row, column, width)
                copy(above[to : to + features], gated[row * (features + 1) : row * (features + 1) + features])


@compiled
def reach(net, block):
    """Say how many rows above its own, and columns to either side, a block sees."""
    return net.table[block, 1] * net.table[block, 7]


@compiled
def lowest(net, block, row, column, width):
    """Say where a pixel of the lowest row of the vertical stack's inputs begins."""
    size, at, far = net.table[block, 0], net.table[block, 6], reach(net, block)
    return at + (((row + 1) * (far + 1) - 1) * (width + 2 * far) + far + column) * size


@compiled
def move_up(net, block, rows, width, above):
    """Move the rows of the vertical stack's inputs up by one; the lowest is to be written anew."""
    size, at, far = net.table[block, 0], net.table[block, 6], reach(net, block)
    line = (width + 2 * far) * size
    for i in range(rows * (far + 1)):
        if i % (far + 1) < far:
            copy(above[at + i * line : at + (i + 1) * line], above[at + (i + 1) * line : at + (i + 2) * line])


@compiled
def convolve(y, at_y, ld_y, x, at_x, ld_x, rows, w, at_w, columns, size, taps, dilation):
    """Add a convolution over pixels of `size` features, which stand one behind the other.

    Without dilation, all that the taps see is one run of numbers, and so one matrix product; else there is one per tap.
    """
    runs, terms = (1, taps * size) if dilation == 1 else (taps, size)
    for i in range(runs):
        matmul(y, at_y, ld_y, x, at_x + i * dilation * size, ld_x, rows, w, at_w + i * terms * columns, columns, terms)


@compiled
def convolve_rows(net, block, rows, width, above, acc):
    """Write the vertical convolution of the lowest row, (width, rows, padded 2p).

    What a row of the kernel sees at the next column begins a pixel later: so all columns are one matrix product, whose
    rows overlap.
    """
    size, radius, _, _, _, at_w, at, dilation = net.table[block]
    wide, far, taps = padded(2 * net.sizes[0]), reach(net, block), 2 * radius + 1
    line = (width + 2 * far) * size
    for i in range(width * rows):
        copy(acc[i * wide : (i + 1) * wide], net.bias[block * wide : (block + 1) * wide])
    for row in range(rows):
        for i in range(radius + 1):
            convolve(acc, row * wide, rows * wide, above, at + (row * (far + 1) + i * dilation) * line, size, width,
                     net.weights, at_w + i * taps * size * wide, wide, size, taps, dilation)  # fmt: skip


@compiled
def look_left(net, film, linked, inputs, left, rows, width, column, block):
    """Write what a block knows of a pixel before the pixel itself: from above, from the left, and its bias."""
    size, radius, at_w, at_in, _, _, _, dilation = net.table[block]
    wide = padded(2 * net.sizes[0])
    each = rows * wide
    own, source = left[block * each : (block + 1) * each], (block * width + column) * each
    at = scopes(film, column, block, len(net.table), each)
    total(own, linked[source : source + each], film.inner[at[0] : at[0] + each])
    convolve(own, START, wide, inputs, at_in + column * size, (radius * dilation + width) * size, rows, net.weights,
             at_w, wide, size, radius, dilation)  # fmt: skip


@compiled
def cross(net, film, inputs, left, acc, gated, out, rows, width, column, block):
    """Run a block on a pixel; write what comes out, (rows, padded p), also to its place in the next block's inputs."""
    size, radius, at_w, at_in, residual, _, _, _ = net.table[block]
    features, wide, far, blocks = net.sizes[0], padded(2 * net.sizes[0]), reach(net, block), len(net.table)
    ld, at_in, at_w = (far + width) * size, at_in + (column + far) * size, at_w + radius * size * wide
    copy(acc, left)
    matmul(acc, START, wide, inputs, at_in, ld, rows, net.weights, at_w, wide, size)
    modulate(acc, rows, 2 * features, wide, film, scopes(film, column, block, blocks, rows * wide), net.sizes[4])
    gate(acc, wide, rows, features, gated)
    ld_out = padded(features)
    out[:] = 0
    if residual:
        for row in range(rows):
            copy(out[row * ld_out : row * ld_out + features], inputs[at_in + row * ld : at_in + row * ld + features])
    matmul(out, START, ld_out, gated, START, features + 1, rows, net.weights, at_w + size * wide, ld_out, features + 1)
    if block < blocks - 1:
        at_in, far = net.table[block + 1, 3], reach(net, block + 1)
        for row in range(rows):
            to = at_in + (row * (far + width) + far + column) * features
            copy(inputs[to : to + features], out[row * ld_out : row * ld_out + features])
