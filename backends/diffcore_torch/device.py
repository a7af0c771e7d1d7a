"""Which device to compute on."""

import torch


def chosen_device(name: str = "auto") -> torch.device:
    """The device of that name; "auto" is the GPU where there is one, else the CPU.

    Raises ValueError where PyTorch does not know the device, or cannot compute on it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    # PyTorch raises AssertionError, RuntimeError or NotImplementedError, as the device may be.
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"device must be 'auto' or one that works here; {name!r}: {reason}"
        ) from error
    return device
