"""What users write must run and give the right answer."""

from __future__ import annotations

from typing import Any

import pytest

from runherald.sinks.guard.guard import QueryGuard

ANSWERS: dict[str, tuple[str, list[list[Any]]]] = {
    "columns": ("SELECT run_id, status FROM runs ORDER BY run_id", [["r1", "Completed"], ["r2", "Failed"], ["r3", "Completed"]]),
    "where": ("SELECT run_id FROM runs WHERE status = 'Failed'", [["r2"]]),
    "semicolon": ("SELECT 1;", [[1]]),
    "comments": ("SELECT 1 -- the first\n/* and */ + 1", [[2]]),
    "words of attacks in a text": (
        "SELECT 'file(''x'') INTO OUTFILE; DROP TABLE run_events' AS a",
        [["file('x') INTO OUTFILE; DROP TABLE run_events"]],
    ),
    "odd characters in a text": ("SELECT 'tab\\t \\\\ \\n é “quoted”' AS a", [["tab\t \\ \n é “quoted”"]]),
    "real tab and newline": ("SELECT\t'a\tb\nc'", [["a\tb\nc"]]),
    "heredoc": ("SELECT $x$it's$x$", [["it's"]]),
    "database named": ("SELECT count() FROM $database.runs", [[3]]),
    "alias": ("SELECT r.run_id AS id FROM runs AS r WHERE id = 'r1'", [["r1"]]),
    "quoted names": ("SELECT \"run_id\" AS `the id` FROM runs WHERE `the id` = 'r1'", [["r1"]]),
    "group": ("SELECT experiment, count() AS n FROM runs GROUP BY experiment ORDER BY n DESC", [["digits", 2], ["speech", 1]]),
    "group by all": ("SELECT experiment, max(duration) FROM runs GROUP BY ALL ORDER BY ALL", [["digits", 60], ["speech", 90]]),
    "rollup": ("SELECT experiment, count() FROM runs GROUP BY experiment WITH ROLLUP ORDER BY 1", [["", 3], ["digits", 2], ["speech", 1]]),
    "grouping sets": ("SELECT count() FROM runs GROUP BY GROUPING SETS ((experiment), (status)) ORDER BY 1", [[1], [1], [2], [2]]),
    "having": ("SELECT experiment FROM runs GROUP BY experiment HAVING count() > 1", [["digits"]]),
    "distinct": ("SELECT DISTINCT experiment FROM runs ORDER BY 1", [["digits"], ["speech"]]),
    "limit and offset": ("SELECT run_id FROM runs ORDER BY run_id LIMIT 1 OFFSET 1", [["r2"]]),
    "limit by": ("SELECT run_id, step FROM metrics ORDER BY run_id, step DESC LIMIT 1 BY run_id", [["r1", 4], ["r2", 4]]),
    "limit with ties": ("SELECT experiment FROM runs ORDER BY experiment LIMIT 1 WITH TIES", [["digits"], ["digits"]]),
    "inner join": (
        "SELECT r.name, min(m.value) FROM runs AS r JOIN metrics AS m ON r.run_id = m.run_id GROUP BY r.name ORDER BY 1",
        [["lr 0.1", 0.0625], ["lr 0.5", 1]],
    ),
    "left join": (
        "SELECT r.run_id, count(m.step) FROM runs r LEFT JOIN metrics m USING (run_id) GROUP BY 1 ORDER BY 1",
        [["r1", 5], ["r2", 3], ["r3", 1]],
    ),
    "anti join": ("SELECT run_id FROM runs ANTI LEFT JOIN metrics USING run_id", [["r3"]]),
    "asof join": (
        # The run belongs to the key: WHERE comes after the join, which takes any one of two runs' points of the same step.
        "SELECT a.step, b.step FROM metrics a ASOF JOIN metrics b ON a.run_id = b.run_id AND a.step > b.step WHERE a.run_id = 'r2' "
        "ORDER BY 1",
        [[2, 0], [4, 2]],
    ),
    "cross join": ("SELECT count() FROM runs, metrics", [[24]]),
    "join of a subquery": ("SELECT count() FROM runs JOIN (SELECT DISTINCT run_id FROM metrics) AS m USING run_id", [[2]]),
    "subquery in FROM": ("SELECT max(n) FROM (SELECT count() AS n FROM metrics GROUP BY run_id)", [[5]]),
    "scalar subquery": ("SELECT run_id FROM runs WHERE duration = (SELECT max(duration) FROM runs)", [["r3"]]),
    "IN a subquery": ("SELECT run_id FROM runs WHERE run_id IN (SELECT run_id FROM metrics) ORDER BY 1", [["r1"], ["r2"]]),
    "NOT IN a subquery": ("SELECT run_id FROM runs WHERE run_id NOT IN (SELECT run_id FROM metrics)", [["r3"]]),
    "IN values": ("SELECT count() FROM runs WHERE (experiment, status) IN (('digits', 'Failed'), ('speech', 'Completed'))", [[2]]),
    "IN a WITH": ("WITH bad AS (SELECT run_id FROM runs WHERE status = 'Failed') SELECT name FROM runs WHERE run_id IN bad", [["lr 0.5"]]),
    "IN a WITH value": ("WITH ['r1', 'r2'] AS wanted SELECT count() FROM runs WHERE run_id IN wanted", [[2]]),
    "casts to other types": (
        "SELECT CAST('1.5' AS Nullable(Float64)), '7'::Int8, accurateCastOrNull('x', 'UInt8'), DATE '2026-01-02' < now()",
        [[1.5, 7, None, 1]],
    ),
    "an aggregate over an array": ("SELECT arrayReduce('quantile(0.5)', [1, 2, 3]), arrayReduce('sumIf', [1, 2], [0, 1])", [[2, 2]]),
    "exists": ("SELECT EXISTS(SELECT 1 FROM runs WHERE status = 'Failed')", [[1]]),
    "WITH": ("WITH last AS (SELECT run_id, max(step) AS s FROM metrics GROUP BY run_id) SELECT sum(s) FROM last", [[8]]),
    "WITH of WITH": ("WITH a AS (SELECT 1 AS x), b AS (SELECT x + 1 AS y FROM a) SELECT y FROM b", [[2]]),
    "WITH inside": ("SELECT * FROM (WITH t AS (SELECT 7 AS x) SELECT x FROM t)", [[7]]),
    "WITH seen from a subquery": ("WITH t AS (SELECT 7 AS x) SELECT (SELECT x FROM t)", [[7]]),
    "WITH named as a view": ("WITH runs AS (SELECT run_id FROM runs WHERE status = 'Failed') SELECT count() FROM runs", [[1]]),
    "WITH for a whole union": ("WITH t AS (SELECT 1 AS x) SELECT x FROM t UNION ALL SELECT x + 1 FROM t ORDER BY x", [[1], [2]]),
    "WITH RECURSIVE": ("WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 4) SELECT sum(n) FROM t", [[10]]),
    "union": ("SELECT run_id FROM runs UNION DISTINCT SELECT run_id FROM metrics ORDER BY run_id", [["r1"], ["r2"], ["r3"]]),
    "except": ("SELECT run_id FROM runs EXCEPT SELECT run_id FROM metrics", [["r3"]]),
    "intersect": ("SELECT run_id FROM runs INTERSECT SELECT DISTINCT run_id FROM metrics ORDER BY run_id", [["r1"], ["r2"]]),
    "window": (
        "SELECT step, value - lagInFrame(value, 1, value) OVER (PARTITION BY run_id ORDER BY step) AS d FROM metrics WHERE run_id = 'r2' "
        "ORDER BY step",
        [[0, 0], [2, -1], [4, -1]],
    ),
    "named window": (
        "SELECT sum(value) OVER w FROM metrics WHERE run_id = 'r2' WINDOW w AS (ORDER BY step ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) "
        "ORDER BY step",
        [[3], [5], [3]],
    ),
    "row_number and QUALIFY": (
        "SELECT run_id, value FROM metrics QUALIFY row_number() OVER (PARTITION BY run_id ORDER BY step DESC) = 1 ORDER BY run_id",
        [["r1", 0.0625], ["r2", 1]],
    ),
    "quantiles": ("SELECT quantilesExact(0.5, 1)(duration) FROM runs", [[[60, 90]]]),
    "median and spread": ("SELECT median(duration), round(stddevPop(duration), 2) FROM runs", [[60, 24.49]]),
    "if combinator": ("SELECT countIf(status = 'Failed'), avgIf(duration, status = 'Completed') FROM runs", [[1, 75]]),
    "filter clause": ("SELECT count() FILTER (WHERE status = 'Failed') FROM runs", [[1]]),
    "argMax": ("SELECT argMax(run_id, duration) FROM runs", [["r3"]]),
    "uniq": ("SELECT uniqExact(experiment), count(DISTINCT experiment) FROM runs", [[2, 2]]),
    "groupArray": ("SELECT arraySort(groupArray(run_id)) FROM runs", [[["r1", "r2", "r3"]]]),
    "topK": ("SELECT topK(1)(experiment) FROM runs", [[["digits"]]]),
    "two combinators": ("SELECT sumArrayIf([1, 2], status = 'Failed') FROM runs", [[3]]),
    "state and merge": ("SELECT sumMerge(s) FROM (SELECT sumState(duration) AS s FROM runs GROUP BY experiment)", [[180]]),
    "array join": ("SELECT x FROM runs ARRAY JOIN [1, 2] AS x WHERE run_id = 'r1' ORDER BY x", [[1], [2]]),
    "left array join": ("SELECT count() FROM runs LEFT ARRAY JOIN mapKeys(labels) AS k", [[3]]),
    "arrayJoin": ("SELECT arrayJoin([3, 4]) AS x ORDER BY x", [[3], [4]]),
    "array functions": ("SELECT arraySum(arrayMap(x -> x * 2, arrayFilter(x -> x > 1, [1, 2, 3])))", [[10]]),
    "arrays and tuples": ("SELECT [1, 2][1], (1, 'a').2, length(range(4))", [[1, "a", 4]]),
    "map": ("SELECT labels['team'], mapKeys(labels) FROM runs WHERE run_id = 'r1'", [["vision", ["team"]]]),
    "JSON": ("SELECT JSONExtractFloat(notes, 'lr') FROM runs ORDER BY run_id", [[0.1], [0.5], [1]]),
    "dates": (
        "SELECT toStartOfHour(started), toDate(started) FROM runs WHERE run_id = 'r1'",
        [["2026-01-01T10:00:00Z", "2026-01-01"]],
    ),
    "date arithmetic": ("SELECT dateDiff('minute', min(started), max(started)) FROM runs WHERE experiment = 'digits'", [[60]]),
    "interval": ("SELECT count() FROM runs WHERE started > toDateTime64('2026-01-02 00:00:00', 3) - INTERVAL 14 HOUR", [[3]]),
    "now": ("SELECT now64() > started FROM runs WHERE run_id = 'r1'", [[1]]),
    "extract and trim": ("SELECT EXTRACT(YEAR FROM started), TRIM(BOTH ' ' FROM ' a ') FROM runs WHERE run_id = 'r1'", [[2026, "a"]]),
    "case": ("SELECT CASE WHEN duration > 50 THEN 'long' ELSE 'short' END FROM runs WHERE run_id = 'r2'", [["short"]]),
    "case of a value": ("SELECT CASE status WHEN 'Failed' THEN 1 ELSE 0 END FROM runs WHERE run_id = 'r2'", [[1]]),
    "casts": ("SELECT CAST('5' AS UInt8) + '6'::Int64, toFloat64('0.5')", [[11, 0.5]]),
    "text functions": (
        "SELECT upper(name), splitByChar(' ', name)[1], replaceAll(name, ' ', '_') FROM runs WHERE run_id = 'r1'",
        [["LR 0.1", "lr", "lr_0.1"]],
    ),
    "like and match": ("SELECT count() FROM runs WHERE name LIKE 'lr%' AND match(name, '0\\\\.[15]') AND name ILIKE '%LR%'", [[2]]),
    "between": ("SELECT run_id FROM runs WHERE duration BETWEEN 50 AND 70", [["r1"]]),
    "nulls": ("SELECT ifNull(NULL, 1), NULL IS NULL, nullIf(1, 1), coalesce(NULL, 2)", [[1, 1, None, 2]]),
    "fill": (
        "SELECT step, count() FROM metrics WHERE run_id = 'r2' GROUP BY step ORDER BY step WITH FILL FROM 0 TO 5",
        [[0, 1], [1, 0], [2, 1], [3, 0], [4, 1]],
    ),
    "fill with interpolate": (
        "SELECT step, value FROM metrics WHERE run_id = 'r2' ORDER BY step WITH FILL TO 4 INTERPOLATE (value AS value)",
        [[0, 3], [1, 3], [2, 2], [3, 2], [4, 1]],
    ),
    "stars": ("SELECT * EXCEPT (experiment, name, status, started, labels, notes) FROM runs WHERE run_id = 'r1'", [["r1", 60]]),
    "star replaced": ("SELECT * REPLACE (step + 1 AS step) FROM metrics WHERE run_id = 'r2' AND step = 1", [["r2", "loss", 1, 3]]),
    "columns by pattern": ("SELECT COLUMNS('_id') FROM runs WHERE status = 'Failed'", [["r2"]]),
    "apply": ("SELECT COLUMNS(step, value) APPLY(max) FROM metrics", [[4, 3]]),
    "apply of a lambda": ("SELECT COLUMNS(step) APPLY(x -> x * 10) FROM metrics WHERE run_id = 'r2' ORDER BY step", [[0], [20], [40]]),
    "numbers": ("SELECT sum(number) FROM numbers(1000000)", [[499999500000]]),
    "series": ("SELECT generate_series FROM generate_series(1, 9, 4)", [[1], [5], [9]]),
    "values": ("SELECT name FROM values('run String, name String', ('r1', 'a'), ('r2', 'b')) ORDER BY run DESC", [["b"], ["a"]]),
    "not a number": ("SELECT nan, -inf, 1 / 0", [["nan", "-inf", "inf"]]),
    "large numbers": ("SELECT 18446744073709551615, toInt64(-9223372036854775808)", [[18446744073709551615, -9223372036854775808]]),
    "no rows": ("SELECT run_id, duration FROM runs WHERE 0", []),
    "from first": ("FROM runs SELECT count()", [[3]]),
    "final": ("SELECT count() FROM (SELECT * FROM runs)", [[3]]),
}


@pytest.mark.parametrize(("text", "rows"), ANSWERS.values(), ids=ANSWERS.keys())
def test_a_query_gives_its_rows(guard: QueryGuard, guarded_database: str, text: str, rows: list[list[Any]]) -> None:
    answer = guard.run(guard.check(text.replace("$database", guarded_database)))
    assert answer.rows == rows
    assert not answer.truncated


def test_the_table_of_queries_is_large() -> None:
    assert len(ANSWERS) >= 40


def test_an_answer_names_columns_and_types(guard: QueryGuard) -> None:
    answer = guard.run(guard.check("SELECT run_id, duration AS seconds, started FROM runs WHERE 1"))
    assert [(column.name, column.type) for column in answer.columns] == [
        ("run_id", "String"),
        ("seconds", "Float64"),
        ("started", "DateTime64(6, 'UTC')"),
    ]


def test_an_answer_without_rows_names_columns_too(guard: QueryGuard) -> None:
    answer = guard.run(guard.check("SELECT run_id, duration FROM runs WHERE 0"))
    assert [(column.name, column.type) for column in answer.columns] == [("run_id", "String"), ("duration", "Float64")]


def test_the_check_says_which_views_are_read(guard: QueryGuard) -> None:
    text = "WITH t AS (SELECT run_id FROM metrics) SELECT * FROM runs WHERE run_id IN t"
    assert set(guard.check(text).views) == {"runs", "metrics"}
