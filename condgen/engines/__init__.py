"""Engines: ways to draw from a network, step after step. All give the same samples; `choice` picks one.

One call, `condgen.sampling.sample`, and engines behind it; a line says which one was taken and why. What an engine
cannot do goes to `cached`, with a warning if it was asked for by name: another type of weights, hooks, a network whose
parts were altered.

| `--engine` | |
| --- | --- |
| `auto` | `compiled` on a CPU, `graph` on a GPU, where the model fits |
| `compiled` | kernels in numba, on the CPU, for every configuration in float32, compiled once, then kept on disk |
| `compiled_bfloat16` | the same with weights of 16 bits: half to be read, a model that differs a little |
| `graph` | the step captured as a CUDA graph and replayed; without a GPU the same step runs plainly |
| `triton` | WaveNet with softmax on a GPU: one kernel draws many samples, in the manner of nv-wavenet |
| `cached` | plain PyTorch, for every model and device; what earlier steps computed is kept |
| `naive` | the whole network at every step: the definition |

`compiled` takes a step of the whole network in one go; weights are read once for a block of rows, and the past taps of
a WaveNet computed for up to 16 steps at once. Threads (`torch.set_num_threads`, `OMP_NUM_THREADS`) split the batch.

Those for GPUs are tested for equality on the CPU, the kernel in Triton's interpreter; they have not yet been run on a
GPU.
"""
