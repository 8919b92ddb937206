"""The engine's settings that keep a query small."""

from __future__ import annotations

from runherald.sinks.guard.answer import QueryLimits


def engine_limits(limits: QueryLimits) -> dict[str, str | int | float]:
    """Return the settings to run users' queries with, `readonly` not among them."""
    return {
        "max_execution_time": limits.seconds,
        "max_memory_usage": limits.memory,
        "max_threads": 2,
        "max_ast_depth": 1_000,
        "max_ast_elements": 20_000,
        "max_expanded_ast_elements": 100_000,
        "max_parser_depth": 1_000,
        "max_query_size": 1_048_576,
        "max_recursive_cte_evaluation_depth": 1_000,
        "max_subquery_depth": 50,
        "function_range_max_elements_in_block": 10_000_000,
        "function_sleep_max_microseconds_per_block": 1,
        "allow_introspection_functions": 0,
        "enable_global_with_statement": 1,  # the check counts on it: a union shares its first WITH
        "session_timezone": "UTC",
    }
