"""What a measurement was made on."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path


def where_and_when() -> dict[str, str]:
    """Date, processor and cores."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor() or platform.machine()
    return {"date": time.strftime("%Y-%m-%d"), "machine": f"{processor}, {os.cpu_count()} cores"}
