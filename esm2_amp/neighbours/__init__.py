"""Searches among embeddings: the nearest proteins, the closest pairs, analogies.

As the commands of ``esm2-amp neighbours`` do::

    from esm2_amp.neighbours import Neighbours

    near = Neighbours("vectors")
    near.similar(["P68871", "P04637"], 10, metric="cosine").names
    near.analogy(["P68871", "P69905"], 10, op="difference").names
    near.closest(100, metric="cosine").names
"""

from esm2_amp.neighbours.queries import Neighbours as Neighbours
from esm2_amp.neighbours.vectors import open_vectors as open_vectors
