"""The portable noise on a GPU, to the bit, without a wait for the device.

`diffcore.noise.portable` serves any library, and for that copies its table of normals to the device
at every call, while the host waits. Here the table lies on the device, and the key, which the host
works out, enters the device's operations as numbers.
"""

import math

import torch
from torch import Tensor

from diffcore.noise import portable, threefry
from diffcore.noise.portable import TABLE
from diffcore.noise.threefry import NORMALS, derive, signed


class DeviceNoise:
    """`portable(seed)(like, step)` as noise(seed, like, step), for float32 on one device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.table = torch.from_numpy(TABLE.copy()).to(device)

    def __call__(self, seed: int, like: Tensor, step: int) -> Tensor:
        """Noise of like's shape (batch, ...), float32."""
        if self.device.type == "cpu":
            eps: Tensor = portable(seed)(like, step)
            return eps
        return self.drawn_there(seed, like, step)

    def drawn_there(self, seed: int, like: Tensor, step: int) -> Tensor:
        """The same by operations of the device, whichever it is."""
        # PyTorch hands a tensor without dimensions that lies on the CPU to a kernel as a number.
        words = (torch.tensor(signed(w)) for w in derive(seed, step, NORMALS))
        first, second = (word.to(torch.int32) for word in words)
        size = math.prod(like.shape[1:])
        rows = torch.arange(len(like), dtype=torch.int32, device=self.device)
        blocks = torch.arange((size + 1) // 2, dtype=torch.int32, device=self.device)
        shape = (len(rows), len(blocks))
        counter = blocks[None, :].expand(shape), rows[:, None].expand(shape)
        bits = torch.stack(threefry((first, second), counter), dim=-1)
        eps = self.table[bits & 0xFFFF] + self.table[(bits >> 16) & 0xFFFF]
        return eps.reshape(len(like), -1)[:, :size].reshape(like.shape)
