"""The operations on CUDA devices: each is planned here as a few launches of the kernels in ``csrc/cuda``.

``arrays`` says what an array is to a kernel, ``memory`` where scratch comes from, ``launch`` who runs kernels,
``params`` how parameters get their bytes, ``sources`` where the kernels' text lies. One module for each operation makes
its plan. None of them knows which launcher will run it, copies anything from the host, or waits for the device: every
call can be captured in a CUDA graph.
"""
