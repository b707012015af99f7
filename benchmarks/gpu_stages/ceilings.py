"""Measure the most that this GPU does, and say which it is: everything else is compared with that."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from measuring import DEVICE, Ceilings, hardware, measured_ceilings

from gpu_stages.day import Day

STAGE, MACHINE, CEILINGS = "ceilings", "machine", "copy and product"


def run(day: Day) -> None:
    """Describe the machine; measure copy and product, whatever the share of the time."""
    day.row(STAGE, MACHINE, machine, kind="machine", guess=2, is_needed=True)
    day.row(STAGE, CEILINGS, lambda: _measured(day), kind="ceilings", guess=10, is_needed=True)


def known(day: Day) -> Ceilings | None:
    """The measured ceilings; None where there was no time."""
    run(day)
    row = day.find(STAGE, CEILINGS) or {}
    return Ceilings(row["tflops"], row["tb_per_s"]) if "tflops" in row else None


def machine() -> Mapping[str, Any]:
    """Name, sizes and versions."""
    if DEVICE.type != "cuda":
        return {"gpu": "CPU", "hardware": hardware()}
    found = torch.cuda.get_device_properties(DEVICE)
    return {
        "gpu": torch.cuda.get_device_name(DEVICE),
        "hardware": hardware(),
        "multiprocessors": found.multi_processor_count,
        "memory_gb": found.total_memory / 1e9,
        "l2_mb": getattr(found, "L2_cache_size", 0) / 1e6,
        "capability": f"{found.major}.{found.minor}",
    }


def _measured(day: Day) -> Mapping[str, Any]:
    tiny = {"num_bytes": 2**20, "side": 64, "rounds": 3} if day.rehearses else {}
    return asdict(measured_ceilings(**tiny))
