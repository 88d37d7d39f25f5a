"""What makes training quick on the machine at hand: the device, its memory and its number format."""

import contextlib
import ctypes
import functools
import platform
from collections.abc import Callable
from typing import Any

import torch

from digitnet.errors import UsageError


def choose_device(name: str | None) -> torch.device:
    """The device with that name. Without a name, the best one that is available: CUDA, MPS, else the CPU.

    Raises UsageError where the device is not available.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    choices = [kind for kind, is_available in available.items() if is_available]
    if name is None:
        return torch.device(choices[0])
    with contextlib.suppress(RuntimeError):  # torch does not know the name
        device = torch.device(name)
        if device.type in choices:
            return device
    raise UsageError(f"--device {name}: not available here; choose from {', '.join(choices)}")


def keep_memory() -> None:
    """Asks glibc to keep the memory that a training step frees, because the next step needs it again.

    By default glibc returns each large buffer to the system. The next step then faults its pages in one by one, and
    this costs more than the arithmetic of a small network. With another C library this function does nothing.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL("libc.so.6")
        m_trim_threshold, m_mmap_max = -1, -4  # from malloc.h
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, 2**31 - 1)


@functools.cache
def has_bfloat16() -> bool:
    """Whether the CPU multiplies matrices of bfloat16 (AMX). A training step then takes half the time.

    The bfloat16 instructions of AVX-512 alone do not pay: a step then takes 1.3 to 1.5 times as long as in float32.
    """
    get_capabilities: Callable[[], dict[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)  # torch since 2026
    return bool(get_capabilities().get("amx_bf16"))


def autocast(device: torch.device | str) -> torch.autocast:
    """Runs networks in bfloat16 where the CPU has it; weights, loss and optimiser stay float32."""
    on_cpu = torch.device(device).type == "cpu"
    return torch.autocast("cpu", torch.bfloat16, enabled=on_cpu and has_bfloat16())
