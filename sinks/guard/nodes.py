"""The nodes of a parsed query that users may write, and what each may hold.

The names are those of `parseQueryToJSON` (ClickHouse 26.8 and later). A node or a key that is not here is refused, so a new kind of
clause stays out until someone has read what it does; a key that is false says nothing and may stand. Left out on purpose: SETTINGS (a
setting's text can be an expression), FORMAT and INTO OUTFILE, query parameters (a table can be one), and every statement that is not a
SELECT.
"""

from __future__ import annotations

ROOT = "SelectWithUnionQuery"

_EXPRESSION = frozenset({"alias"})

KEYS: dict[str, frozenset[str]] = {
    "ArrayJoin": frozenset({"kind", "expression_list"}),
    "Asterisk": frozenset({"transformers", "expression"}),
    "ColumnsApplyTransformer": frozenset({"func_name", "lambda", "lambda_arg", "parameters", "column_name_prefix"}),
    "ColumnsExceptTransformer": frozenset({"children", "pattern", "is_strict"}),
    "ColumnsListMatcher": frozenset({"column_list", "transformers"}),
    "ColumnsRegexpMatcher": frozenset({"pattern", "transformers"}),
    "ColumnsReplaceTransformer": frozenset({"children", "is_strict"}),
    "ColumnsReplaceTransformerReplacement": frozenset({"name", "children"}),
    "ColumnsTransformerList": frozenset({"children"}),
    "ExpressionList": frozenset({"children"}),
    "Function": _EXPRESSION
    | {
        "name",
        "arguments",
        "parameters",
        "is_operator",
        "is_lambda_function",
        "is_compound_name",
        "is_window_function",
        "kind",
        "nulls_action",
        "window_definition",
        "window_name",
    },
    "Identifier": _EXPRESSION | {"name", "name_parts"},
    "InterpolateElement": frozenset({"column", "expr"}),
    "Literal": _EXPRESSION | {"value"},
    "OrderByElement": frozenset(
        {
            "direction",
            "nulls_direction",
            "nulls_direction_was_explicitly_specified",
            "with_fill",
            "expression",
            "fill_from",
            "fill_to",
            "fill_step",
            "fill_staleness",
            "collation",
        }
    ),
    "QualifiedAsterisk": frozenset({"qualifier", "transformers"}),
    "QualifiedColumnsListMatcher": frozenset({"qualifier", "column_list", "transformers"}),
    "QualifiedColumnsRegexpMatcher": frozenset({"qualifier", "pattern", "transformers"}),
    "SampleRatio": frozenset({"numerator", "denominator"}),
    "SelectIntersectExceptQuery": frozenset({"children", "list_of_selects", "final_operator"}),
    "SelectQuery": frozenset(
        {
            "with",
            "recursive_with",
            "cte_aliases",
            "select",
            "distinct",
            "tables",
            "prewhere",
            "where",
            "group_by",
            "group_by_all",
            "group_by_with_totals",
            "group_by_with_rollup",
            "group_by_with_cube",
            "group_by_with_grouping_sets",
            "having",
            "window",
            "qualify",
            "order_by",
            "order_by_all",
            "interpolate",
            "limit_by",
            "limit_by_all",
            "limit_by_length",
            "limit_by_offset",
            "limit_length",
            "limit_offset",
            "limit_with_ties",
        }
    ),
    "SelectWithUnionQuery": frozenset({"union_mode", "list_of_modes", "list_of_selects"}),
    "Subquery": _EXPRESSION | {"children", "cte_name"},
    "TableExpression": frozenset({"database_and_table_name", "table_function", "subquery", "final", "sample_size", "sample_offset"}),
    "TableIdentifier": _EXPRESSION | {"name", "name_parts"},
    "TableJoin": frozenset({"kind", "strictness", "locality", "on_expression", "using_expression_list"}),
    "TablesInSelectQuery": frozenset({"children"}),
    "TablesInSelectQueryElement": frozenset({"table_expression", "table_join", "array_join"}),
    "WindowDefinition": frozenset(
        {
            "parent_window_name",
            "partition_by",
            "order_by",
            "frame_is_default",
            "frame_type",
            "frame_begin_type",
            "frame_begin_offset",
            "frame_begin_preceding",
            "frame_end_type",
            "frame_end_offset",
            "frame_end_preceding",
        }
    ),
    "WindowListElement": frozenset({"name", "definition"}),
    "WithElement": frozenset({"name", "subquery", "aliases", "is_materialized"}),
}

_OUTFILE = "INTO OUTFILE is not allowed; save the answer on your side, for example with -o csv"

REFUSED_CLAUSES = {
    "settings": "SETTINGS is not allowed; the limits of a query are fixed",
    "out_file": _OUTFILE,
    "format_ast": "FORMAT is not allowed; choose the form of the answer with -o",
    "is_outfile_append": _OUTFILE,
    "is_outfile_truncate": _OUTFILE,
    "is_into_outfile_with_stdout": _OUTFILE,
    "compression": _OUTFILE,
}
"""Keys that are refused with a reason of their own."""
