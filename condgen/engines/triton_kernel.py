"""The Triton kernel that draws samples of a WaveNet: loops over steps and layers run on the device.

Whatever a program reads that its own threads wrote lies behind a barrier. Rings have one slot more than a layer reaches
back, so that no step writes where it reads; the two barriers of each step's head then keep steps apart.
"""

import triton
import triton.language as tl


@triton.jit
def product(x, weights, WIDTH: tl.constexpr, COLUMNS: tl.constexpr):
    """Multiply (rows, WIDTH) by a matrix of so many rows and columns, which lies contiguous."""
    i, j = tl.arange(0, WIDTH), tl.arange(0, COLUMNS)
    tile = tl.load(weights + i[:, None] * COLUMNS + j[None, :])
    # Without "ieee" the products of float32 would be in TF32, with 10 bits.
    return tl.dot(x.to(tile.dtype), tile, input_precision="ieee")


@triton.jit
def modulate(x, film, inner, gamma, beta, HAS_GAMMA: tl.constexpr, HAS_BETA: tl.constexpr):
    """Apply FiLM to (rows, hidden) features; `film` says where their parameters lie."""
    x += tl.load(inner + film)
    if HAS_GAMMA:
        x *= tl.load(gamma + film)
    if HAS_BETA:
        x += tl.load(beta + film)
    return x


@triton.jit
def linear(x, weights, bias, out, stop, IN: tl.constexpr, OUT: tl.constexpr, COLUMNS: tl.constexpr, RELU: tl.constexpr):
    """Write x @ weights + bias, or its positive part, to the first `stop` columns of `out`, a pointer per row.

    The weights lie in blocks of columns, (OUT / COLUMNS, IN, COLUMNS), because all at once would not fit.
    """
    j = tl.arange(0, COLUMNS)
    for block in range(OUT // COLUMNS):
        y = product(x, weights + block * IN * COLUMNS, IN, COLUMNS) + tl.load(bias + block * COLUMNS + j)[None, :]
        if RELU:
            y = tl.maximum(y, 0.0)
        at = block * COLUMNS + j[None, :]
        tl.store(out[:, None] + at, y, mask=at < stop)


@triton.jit
def categorical(logits, uniform, levels):
    """Draw levels, (rows,), from (rows, padded levels) by the inverse distribution function, summed in float64."""
    probabilities = tl.exp(logits - tl.max(logits, 1)[:, None])
    cumulative = tl.cumsum(probabilities.to(tl.float64), 1)
    passed = cumulative <= (uniform * tl.max(cumulative, 1))[:, None]
    return tl.minimum(tl.sum(passed.to(tl.int64), 1), levels - 1)


@triton.jit(do_not_specialize=["first", "count", "first_noise", "noise_row", "batch", "hop", "levels"])
def wavenet(
    rings, ring_table, entry, taps, residual, residual_bias, skip, skip_bias, head, head_bias, out, out_bias,
    inner, gamma, beta, noise, known, given, last, scratch, parameters, values,
    first, count, first_noise, noise_row, batch, hop, levels, temperature,
    LAYERS: tl.constexpr, TAPS: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr, HIDDEN: tl.constexpr,
    SKIP: tl.constexpr, HEAD: tl.constexpr, LEVELS: tl.constexpr, HEAD_COLUMNS: tl.constexpr,
    OUT_COLUMNS: tl.constexpr, FILM_ROWS: tl.constexpr, HAS_FRAMES: tl.constexpr, HAS_GAMMA: tl.constexpr,
    HAS_BETA: tl.constexpr, GIVEN_ROWS: tl.constexpr,
):  # fmt: skip
    """Draw `count` samples, from step `first` on, for a block of ROWS rows of the batch.

    Args (capitals are sizes, whole powers of 2; zeros fill weights up to them):
        rings: last inputs of each layer, (slots, padded rows, CHANNELS); see `condgen.engines.rings`.
        ring_table: first slot, length and dilation of each layer, (LAYERS, 3).
        entry: input of the first layer for each level, (levels, CHANNELS).
        taps: weights of the taps, furthest first, the gate's halves apart, (LAYERS, TAPS, 2, CHANNELS, HIDDEN).
        residual: weights, (LAYERS, HIDDEN, CHANNELS), and residual_bias, (LAYERS, CHANNELS); 0 in the last layer.
        skip: scaled weights, (LAYERS, HIDDEN, SKIP), and skip_bias, the scaled sum of the biases, (SKIP,).
        head: weights in blocks, (HEAD / HEAD_COLUMNS, SKIP, HEAD_COLUMNS), and head_bias, (HEAD,).
        out: weights in blocks, (LEVELS / OUT_COLUMNS, HEAD, OUT_COLUMNS), and out_bias, (LEVELS,).
        inner: FiLM parameters, (frames from the first step's on, LAYERS, FILM_ROWS, 2, HIDDEN); likewise gamma, beta.
        noise: uniform numbers, (batch, steps from `first_noise` on), with rows `noise_row` numbers apart.
        known: mask of given steps, (steps,), and given, their levels, (steps, GIVEN_ROWS); unread if GIVEN_ROWS is 0.
        last: levels drawn before the first step and, at the end, the last ones, (padded rows,); −1 for none.
        scratch: workspace, (padded rows, HEAD).
        parameters: output, the logits of each step, (count, padded rows, levels).
        values: output, the levels, (count, padded rows).
    """
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    rows = tl.num_programs(0) * ROWS
    reading = tl.minimum(row, batch - 1)  # rows behind the batch's end read what the last one reads
    channel, feature, level_at = tl.arange(0, CHANNELS), tl.arange(0, HIDDEN), tl.arange(0, LEVELS)
    level = tl.load(last + row)
    for i in range(count):
        step = first + i
        frame = (step // hop - first // hop if HAS_FRAMES else step * 0).to(tl.int64)
        x = tl.load(entry + level[:, None] * CHANNELS + channel[None, :], mask=level[:, None] >= 0, other=0.0)
        skips = tl.zeros((ROWS, SKIP), tl.float32) + tl.load(skip_bias + tl.arange(0, SKIP))[None, :]
        for layer in range(LAYERS):
            start, length = tl.load(ring_table + 3 * layer), tl.load(ring_table + 3 * layer + 1)
            dilation = tl.load(ring_table + 3 * layer + 2)
            a, b = tl.zeros((ROWS, HIDDEN), tl.float32), tl.zeros((ROWS, HIDDEN), tl.float32)
            weights = taps + layer * TAPS * 2 * CHANNELS * HIDDEN
            for tap in tl.static_range(TAPS - 1):
                # The length is added because a remainder of Triton's has the sign of what is divided.
                slot = start + (step - (TAPS - 1 - tap) * dilation + length) % length
                heard = tl.load(rings + (slot * rows + row)[:, None] * CHANNELS + channel[None, :])
                a += product(heard, weights + 2 * tap * CHANNELS * HIDDEN, CHANNELS, HIDDEN)
                b += product(heard, weights + (2 * tap + 1) * CHANNELS * HIDDEN, CHANNELS, HIDDEN)
            a += product(x, weights + 2 * (TAPS - 1) * CHANNELS * HIDDEN, CHANNELS, HIDDEN)
            b += product(x, weights + (2 * TAPS - 1) * CHANNELS * HIDDEN, CHANNELS, HIDDEN)
            tl.store(rings + ((start + step % length) * rows + row)[:, None] * CHANNELS + channel[None, :], x)
            film_row = (frame * LAYERS + layer) * FILM_ROWS + (reading if FILM_ROWS > 1 else reading * 0)
            film = film_row[:, None] * 2 * HIDDEN + feature[None, :]
            a = modulate(a, film, inner, gamma, beta, HAS_GAMMA, HAS_BETA)
            b = modulate(b, film + HIDDEN, inner, gamma, beta, HAS_GAMMA, HAS_BETA)
            gated = (2 * tl.sigmoid(2 * a) - 1) * tl.sigmoid(b)  # tanh, by the one that every device has
            skips += product(gated, skip + layer * HIDDEN * SKIP, HIDDEN, SKIP)
            x += product(gated, residual + layer * HIDDEN * CHANNELS, HIDDEN, CHANNELS)
            x += tl.load(residual_bias + layer * CHANNELS + channel)[None, :]
        linear(tl.maximum(skips, 0.0), head, head_bias, scratch + row * HEAD, HEAD, SKIP, HEAD, HEAD_COLUMNS, True)
        tl.debug_barrier()
        y = tl.load(scratch + row[:, None] * HEAD + tl.arange(0, HEAD)[None, :])
        here = (i * rows + row).to(tl.int64)
        linear(y, out, out_bias, parameters + here * levels, levels, HEAD, LEVELS, OUT_COLUMNS, False)
        tl.debug_barrier()
        at = here[:, None] * levels + level_at[None, :]
        logits = tl.load(parameters + at, mask=level_at[None, :] < levels, other=-float("inf")) / temperature
        level = categorical(logits, tl.load(noise + reading.to(tl.int64) * noise_row + step - first_noise), levels)
        if GIVEN_ROWS > 0:
            given_at = step * GIVEN_ROWS + (reading if GIVEN_ROWS > 1 else reading * 0)
            level = tl.where(tl.load(known + step) != 0, tl.load(given + given_at), level)
        tl.store(values + here, level)
    tl.store(last + row, level)
