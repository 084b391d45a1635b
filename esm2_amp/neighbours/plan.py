"""What an index of some vectors will be and need, before it is built: factory, lists, bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import faiss

from esm2_amp.errors import InputError

EXACT = "exact"
"""In place of a factory: no index, every vector is looked at."""
_FLAT = "Flat"  # faiss's name for the same
EXACT_VALUES = 1 << 28
"""Up to so many values (rows x dimensions) exact search takes a fraction of a second and an index is not worth it."""
GB = 10**9
PART_ROWS = 262_144
"""Vectors that are added between two commits."""
ADDED_ROWS = 8192
"""Vectors that are read and coded at a time."""
_ID_BYTES = 8
_PER_LIST = 50
"""Vectors a list is trained on; faiss asks for 39."""
_MOST_LISTS = 16_384
_FEWEST_PER_LIST = 39
_TRANSFORM_ROWS = 32_768
"""Vectors a transform (PCA, OPQ) is trained on."""
_PROCESS_BYTES = 400 * 10**6
"""Python with its libraries and small buffers."""


@dataclass(frozen=True)
class Plan:
    """An index before it is built.

    Attributes:
        rows: n.
        dim: d.
        factory: faiss's description of the index, or :data:`EXACT`.
        lists: inverted lists; 0 without an index.
        training_rows: vectors the lists and codes are trained on.
        transform_rows: vectors the transform before them is trained on; 0 if there is none.
        transform_bytes: memory that takes.
        code_dim: dimensions after the transform.
        vector_bytes: of the index for one vector: its code and its row number.
        fixed_bytes: of the index, whatever n: centroids of the lists and the transform.
        memory_bytes: what may be used.
    """

    rows: int
    dim: int
    factory: str
    lists: int
    training_rows: int
    transform_rows: int
    transform_bytes: int
    code_dim: int
    vector_bytes: int
    fixed_bytes: int
    memory_bytes: int

    @property
    def map_bytes(self) -> int:
        """Of the float16 map, on disk."""
        return 2 * self.rows * self.dim

    @property
    def index_bytes(self) -> int:
        """Of the finished index, on disk and, where it is read whole, in memory."""
        return self.rows * self.vector_bytes + self.fixed_bytes

    @property
    def training_bytes(self) -> int:
        """Memory of training: the sample and the copy of it that faiss makes, or what the transform takes."""
        block = 3 * 4 * min(ADDED_ROWS, self.rows) * self.dim
        return block + max(self.transform_bytes, 2 * 4 * self.training_rows * self.code_dim)

    @property
    def adding_bytes(self) -> int:
        """Memory while vectors are added: a part, whose lists grow by doubling, and a block of vectors."""
        part = 2 * min(PART_ROWS, self.rows) * self.vector_bytes
        return part + 3 * 4 * min(ADDED_ROWS, self.rows) * self.dim + self.fixed_bytes

    @property
    def merging_bytes(self) -> int:
        """Memory while the parts become one index."""
        return self.index_bytes + min(PART_ROWS, self.rows) * self.vector_bytes

    @property
    def peak_bytes(self) -> int:
        """Memory of the whole build; without an index, of a search."""
        if self.factory == EXACT:
            return _PROCESS_BYTES
        return _PROCESS_BYTES + max(self.training_bytes, self.adding_bytes, self.merging_bytes)

    @property
    def fits(self) -> bool:
        """Whether it stays within the memory that may be used."""
        return self.peak_bytes <= self.memory_bytes

    def table(self) -> list[tuple[str, str]]:
        """The plan as rows of two columns, for people."""
        head = [
            ("vectors", f"{self.rows:,} x {self.dim:,}"),
            ("float16 map, on disk", in_gb(self.map_bytes)),
            ("index", "none: every vector is looked at" if self.factory == EXACT else self.factory),
        ]
        body = [
            ("bytes a vector", f"{self.vector_bytes:,}"),
            ("size of the index", in_gb(self.index_bytes)),
            ("training set", f"{self.training_rows:,} vectors, {in_gb(self.training_bytes)}"),
        ]
        verdict = "fits" if self.fits else "does not fit"
        memory = [("memory needed", f"{in_gb(self.peak_bytes)} of {in_gb(self.memory_bytes)}: {verdict}")]
        return head + (body if self.lists else []) + memory


def make_plan(rows: int, dim: int, memory_gb: float, factory: str | None = None) -> Plan:
    """Choose an index and say what it needs.

    Few vectors are searched exactly. Otherwise it is the first of these that fits: principal components, rotated, with
    RaBitQ codes of 4, 2 and 1 bits a dimension.

    Args:
        rows: n.
        dim: d.
        memory_gb: memory that may be used, in units of 10^9 bytes.
        factory: faiss's description, which must have inverted lists; ``IVF*`` stands for as many as suit n. Or
            :data:`EXACT`. None: choose.

    Raises:
        InputError: the factory is not one that faiss knows, or more memory is needed; the message has the numbers and
            what would fit.
    """
    if factory is not None:
        plan = plan_of(rows, dim, memory_gb, factory)
    elif rows * dim <= EXACT_VALUES:
        plan = plan_of(rows, dim, memory_gb, EXACT)
    else:
        plans = choices(rows, dim, memory_gb)
        plan = next((plan for plan in plans if plan.fits), plans[-1])
    if not plan.fits:
        raise _too_large(plan)
    return plan


def choices(rows: int, dim: int, memory_gb: float) -> list[Plan]:
    """The plans that are chosen from, the most accurate first."""
    heads = ["PCAR512,IVF*,RaBitQ{}" if dim > 512 else "IVF*,RaBitQ{}"] * 3 + ["PCAR256,IVF*,RaBitQ{}"] * (dim > 256)
    bits = [4, 2, "", ""]
    return [plan_of(rows, dim, memory_gb, head.format(n)) for head, n in zip(heads, bits, strict=False)]


def plan_of(rows: int, dim: int, memory_gb: float, factory: str) -> Plan:
    """The plan of one factory, whether it fits or not; see :func:`make_plan`."""
    memory = round(memory_gb * GB)
    if factory in (EXACT, _FLAT):
        return Plan(rows, dim, EXACT, 0, 0, 0, 0, dim, 0, 0, memory)
    factory = factory.replace("IVF*", f"IVF{lists_for(rows)}")
    index, ivf = new_index(dim, factory)
    if ivf.nlist > rows:
        raise _unknown(factory, f"{factory!r} has {ivf.nlist} lists for {rows:,} vectors")
    transforms = transforms_of(index)
    training = min(rows, _TRANSFORM_ROWS) if transforms else 0
    return Plan(
        rows,
        dim,
        factory,
        lists=ivf.nlist,
        training_rows=min(rows, _PER_LIST * ivf.nlist),
        transform_rows=training,
        transform_bytes=max((_transform_bytes(transform, training) for transform in transforms), default=0),
        code_dim=ivf.d,
        vector_bytes=ivf.code_size + _ID_BYTES,
        fixed_bytes=4 * ivf.nlist * ivf.d + sum(4 * t.d_in * t.d_out for t in transforms),
        memory_bytes=memory,
    )


def lists_for(rows: int) -> int:
    """How many inverted lists suit n vectors: a power of two near 4 sqrt(n), so that they can be trained."""
    wanted = min(4 * math.sqrt(rows), rows / _FEWEST_PER_LIST, _MOST_LISTS)
    return 1 << int(math.log2(max(1.0, wanted)))


def new_index(dim: int, factory: str) -> tuple[faiss.Index, faiss.IndexIVF]:
    """An untrained index and the inverted lists within it. Its metric is L2: behind a PCA, which centres, the inner
    product would be another one than the vectors'.

    Raises:
        InputError: faiss does not know the factory or has no inverted lists for it.
    """
    try:
        index = faiss.index_factory(dim, factory, faiss.METRIC_L2)
        ivf = faiss.try_extract_index_ivf(index)
    except (RuntimeError, TypeError) as error:
        raise _unknown(factory, f"faiss cannot build {factory!r} of {dim} dimensions", error) from error
    if ivf is None or not isinstance(index, (faiss.IndexPreTransform, faiss.IndexIVF)):
        raise _unknown(factory, f"{factory!r} is not an index of inverted lists with at most a transform before")
    wider = next((t for t in transforms_of(index) if t.d_out > t.d_in), None)
    if wider is not None:
        raise _unknown(factory, f"{factory!r} makes {wider.d_out} dimensions of {wider.d_in}")
    return index, faiss.downcast_index(ivf)


def transforms_of(index: faiss.Index) -> list[faiss.VectorTransform]:
    """The transforms before an index, in their order; they live as long as it does."""
    if not isinstance(index, faiss.IndexPreTransform):
        return []
    return [faiss.downcast_VectorTransform(index.chain.at(number)) for number in range(index.chain.size())]


def _transform_bytes(transform: faiss.VectorTransform, rows: int) -> int:
    if isinstance(transform, faiss.PCAMatrix):
        return 40 * transform.d_in**2  # sums over blocks, then eigenvectors; all in float64
    return 3 * 4 * rows * transform.d_in


def in_gb(size: int) -> str:
    """Bytes for people: ``16.5 GB``."""
    return f"{size / GB:.3g} GB" if size < 999 * GB else f"{size / GB / 1000:.3g} TB"


def _unknown(factory: str, what: str, error: Exception | None = None) -> InputError:
    why = "" if error is None else f" ({str(error).splitlines()[0].rsplit('Error: ', 1)[-1].rsplit(': ', 1)[-1]})"
    return InputError(what + why, remedy="Give one like PCAR512,IVF*,RaBitQ4, or leave factory out.")


def _too_large(plan: Plan) -> InputError:
    others = [p for p in choices(plan.rows, plan.dim, plan.memory_bytes / GB) if p.vector_bytes != plan.vector_bytes]
    fitting = next((other for other in others if other.fits), None)
    needed = f"{plan.factory} needs {in_gb(plan.peak_bytes)} of memory ({plan.vector_bytes} bytes a vector)"
    remedy = (
        f"Give memory_gb={math.ceil(plan.peak_bytes / GB * 10) / 10:g} or more, or split the vectors over machines."
    )
    if fitting is not None:
        remedy = f"{fitting.factory} would fit ({in_gb(fitting.peak_bytes)}); or give more memory_gb."
    return InputError(f"{needed}, and memory_gb allows {in_gb(plan.memory_bytes)}", remedy=remedy)
