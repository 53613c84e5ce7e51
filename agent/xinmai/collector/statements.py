"""Which SQL may run: one statement that reads and does nothing else.

DuckDB counts `WITH x AS (COPY ... TO file) SELECT` as a SELECT, and a file that may be read may be
written as well; some of its table functions run SQL text or follow raw pointers. So the parsed
statement is searched, and only the nodes and table functions named here pass.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import duckdb

from xinmai.errors import Usage

MAX_SQL_BYTES: Final = 65_536
_READING_NODES: Final = frozenset(
    {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
)
_TABLE_FUNCTIONS: Final = frozenset(
    {
        "duckdb_columns",
        "duckdb_functions",
        "duckdb_views",
        "generate_series",
        "histogram",
        "histogram_values",
        "json_each",
        "json_tree",
        "range",
        "repeat",
        "repeat_row",
        "unnest",
    }
)


def check(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Let one reading statement pass.

    Raises:
        Usage: anything else.
        duckdb.Error: it cannot be parsed.
    """
    if len(sql) > MAX_SQL_BYTES:
        raise Usage(f"SQL is longer than {MAX_SQL_BYTES} characters")
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise Usage("only one SELECT can be run")
    rows = connection.execute("SELECT json_serialize_sql($sql)", {"sql": sql}).fetchall()
    tree = json.loads(rows[0][0])
    if tree.get("error"):
        raise Usage(f"only one SELECT can be run: {tree.get('error_message', '')}")
    for item in _maps(tree["statements"]):
        kind = item.get("type")
        if isinstance(kind, str) and kind.endswith("_NODE") and kind not in _READING_NODES:
            raise Usage(f"only reading statements can be run, not {kind}")
        if kind == "TABLE_FUNCTION":
            name = item["function"]["function_name"].lower()
            if name not in _TABLE_FUNCTIONS:
                raise Usage(f"the table function {name} cannot be used here")


def _maps(tree: Any) -> Iterator[dict[str, Any]]:
    """Every map of the parsed statement, wherever it stands."""
    stack = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield item
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
