"""What a measurement was made on, and what a process cost."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path


def where_and_when() -> dict[str, str]:
    """Date, processor and cores."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor() or platform.machine()
    return {"date": time.strftime("%Y-%m-%d"), "machine": f"{processor}, {os.cpu_count()} cores"}


def measured(command: list[str], folder: Path) -> dict[str, int]:
    """Run a process in a folder: its wall and CPU seconds and peak resident memory in MB; its failure ends this one.

    A process begins with the peak memory of the one that starts it, so a small one stands between.
    """
    done = subprocess.run([sys.executable, "-S", __file__, *command], cwd=folder, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"failed: {' '.join(command)}")
    cost: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return cost


def _measure(command: list[str]) -> None:
    began = time.monotonic()
    _, status, usage = os.wait4(subprocess.Popen(command, stdout=subprocess.DEVNULL).pid, 0)
    seconds, cpu_seconds = time.monotonic() - began, usage.ru_utime + usage.ru_stime
    print(json.dumps({
        "seconds": round(seconds), "cpu_seconds": round(cpu_seconds), "peak_mb": round(usage.ru_maxrss / 1024),
    }))  # fmt: skip
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    _measure(sys.argv[1:])
