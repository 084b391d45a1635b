"""Values of a table as plain Python values, for files that know types."""

from __future__ import annotations

from typing import Any

import pandas as pd


def attributes(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Per row the values by column: bool, int, float or str; what is missing is left out."""
    columns = {name: [plain(value, kind_of(column)) for value in column] for name, column in table.items()}
    rows = zip(*columns.values(), strict=True) if columns else iter([()] * len(table))
    return [{str(name): value for name, value in zip(columns, row, strict=True) if value is not None} for row in rows]


def kind_of(column: pd.Series[Any]) -> type:
    """The type of the values of a column: bool, int, float or str."""
    if pd.api.types.is_bool_dtype(column):
        return bool
    if pd.api.types.is_integer_dtype(column):
        return int
    return float if pd.api.types.is_float_dtype(column) else str


def plain(value: Any, kind: type) -> Any:
    """A value as that type, None where it is missing or not finite."""
    if pd.isna(value) or (kind is float and abs(float(value)) == float("inf")):
        return None
    return float(f"{float(value):.9g}") if kind is float else kind(value)
