"""The kernels: by their definitions (`arrays`), on a CPU (`cpu`), on a GPU (`gpu`)."""
