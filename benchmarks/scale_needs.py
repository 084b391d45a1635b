"""What more vectors need in machines, extrapolated from the bytes and times measured by ``neighbours_scale.py``."""

from __future__ import annotations

from typing import Any

from esm2_amp.neighbours.plan import GB, Plan, plan_of

ATLAS = 49_088_893
"""Vectors of 2,560 dimensions that are published for the ESM Atlas."""
NUMBERS = (ATLAS, 773_846_840, 6_000_000_000)
"""These; the rows of the Atlas's metadata; and what is sometimes claimed of it."""
DIM = 2560
CORES, MACHINE_GB, MACHINE_DISK_TB = 16, 64, 15
"""Of a machine."""


def needs(stages: dict[str, dict[str, Any]], rows: int, numbers: tuple[int, ...]) -> dict[str, Any]:
    """How it was extrapolated, to which machines, and what each number of vectors needs."""
    return {
        "how": " ".join((extrapolated.__doc__ or "").split()),
        "machine": {"cores": CORES, "memory_gb": MACHINE_GB, "disk_tb": MACHINE_DISK_TB},
        "needs": [extrapolated(stages, rows, number) for number in numbers],
    }


def extrapolated(stages: dict[str, dict[str, Any]], rows: int, total: int) -> dict[str, Any]:
    """What ``total`` vectors need, from the rates of ``rows``.

    The vectors are split evenly over as many machines as hold the index in half their memory and the files on their
    disks. All times are of processors, on one core, so that what else ran here does not count. Ingest: seconds a vector
    as measured. Adding: as measured, and for each list more the nanoseconds measured. Training: the transform as
    measured; the lists in proportion to training rows times lists. Hours on all cores divide adding by the cores.
    A search looks through as many lists as here, which are longer; its recall at such sizes was not measured.
    """
    index, rates = stages["index"], stages["rates"]
    busy = index["cpu_seconds"] / sum(index["stages"].values())
    bytes_a_vector, id_bytes = index["code_and_id_bytes"], stages["ingest"]["id_bytes_a_vector"]
    disk = total * (2 * DIM + id_bytes + 2 * bytes_a_vector)
    machines = max(-(-total * bytes_a_vector // (MACHINE_GB * GB // 2)), int(-(-disk // (MACHINE_DISK_TB * 1000 * GB))))
    plan = plan_of(total // machines, DIM, MACHINE_GB, _generic(index["factory"]))
    more_lists = 1e-9 * rates["assign_nanoseconds_a_list"] * (plan.lists - index["lists"])
    adding = index["stages"]["adding"] * busy / rows + more_lists
    lists_training = max(0.0, index["stages"]["training"] * busy - rates["transform_seconds"])
    work = plan.training_rows * plan.lists / (index["training_rows"] * index["lists"])
    return {
        "vectors": total,
        "machines": machines,
        "map_tb": 2 * DIM * total / 1e12,
        "ids_gb": id_bytes * total / GB,
        "index_gb": bytes_a_vector * total / GB,
        "index_gb_a_machine": plan.index_bytes / GB,
        "lists_a_machine": plan.lists,
        "build_memory_gb_a_machine": plan.peak_bytes / GB,
        "ingest_hours_a_machine": stages["ingest"]["cpu_seconds"] / rows * plan.rows / 3600,
        "training_hours_a_machine": (rates["transform_seconds"] + lists_training * work) / 3600,
        "adding_core_hours": adding * total / 3600,
        "adding_hours_on_all_cores": adding * plan.rows / 3600 / CORES,
        "search_milliseconds_same_nprobe": _search_time(stages, plan),
    }


def _search_time(stages: dict[str, dict[str, Any]], plan: Plan) -> float:
    """A query on one machine's share with the nprobe measured here: time grows with the codes looked through."""
    search = stages["search"]
    times = search["milliseconds_a_query"]
    codes = search["nprobe"] * plan.rows / plan.lists
    scored_again = max(0.0, times["median"] - times["candidates_only"])
    return float(scored_again + times["candidates_only"] * codes / search["codes_looked_through"])


def _generic(factory: str) -> str:
    """The factory with as many lists as suit."""
    return ",".join("IVF*" if part.startswith("IVF") else part for part in factory.split(","))
