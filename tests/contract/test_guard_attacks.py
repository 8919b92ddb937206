"""What the guard must never let through. Each class was shown to work on an engine without a guard."""

from __future__ import annotations

import re

import pytest

from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.errors import QueryRefused
from runherald.sinks.guard.guard import QueryGuard

FUNCTION = "is not allowed; there are those that compute"
TABLE_FUNCTION = "table function .* is not allowed"
VIEW = "there is no view named"
OTHER_DATABASE = "only the views of database"
STATEMENT = "only SELECT queries are|cannot be read|is not allowed"

REFUSED = {
    # files and the network through a function's value
    "scalar file": ("SELECT file('/etc/passwd')", FUNCTION),
    "scalar file in WHERE": ("SELECT 1 FROM runs WHERE file('/etc/passwd') != ''", FUNCTION),
    "scalar file in ORDER BY": ("SELECT 1 FROM runs ORDER BY file('/etc/passwd')", FUNCTION),
    "scalar file in LIMIT": ("SELECT 1 FROM runs LIMIT length(file('/etc/passwd'))", FUNCTION),
    "scalar file in LIMIT BY": ("SELECT 1 FROM runs LIMIT 1 BY file('/etc/passwd')", FUNCTION),
    "scalar file in a window": ("SELECT count() OVER w FROM runs WINDOW w AS (ORDER BY file('/etc/passwd'))", FUNCTION),
    "scalar file in an inline window": ("SELECT count() OVER (PARTITION BY file('/etc/passwd')) FROM runs", FUNCTION),
    "scalar file in QUALIFY": ("SELECT count() OVER () AS n FROM runs QUALIFY file('/etc/passwd') != ''", FUNCTION),
    "scalar file in ARRAY JOIN": ("SELECT x FROM runs ARRAY JOIN [file('/etc/passwd')] AS x", FUNCTION),
    "scalar file in INTERPOLATE": ("SELECT 1 AS n, '' AS x ORDER BY n WITH FILL TO 3 INTERPOLATE (x AS file('/etc/passwd'))", FUNCTION),
    "scalar file in FILL": ("SELECT 1 AS n ORDER BY n WITH FILL TO length(file('/etc/passwd'))", FUNCTION),
    "scalar file in JOIN ON": ("SELECT 1 FROM runs AS a JOIN runs AS b ON a.run_id = b.run_id AND file('/x') = ''", FUNCTION),
    "scalar file in HAVING": ("SELECT count() FROM runs HAVING file('/etc/passwd') != ''", FUNCTION),
    "scalar file in PREWHERE": ("SELECT 1 FROM runs PREWHERE file('/etc/passwd') != ''", FUNCTION),
    "scalar file in GROUPING SETS": ("SELECT 1 FROM runs GROUP BY GROUPING SETS ((run_id), (file('/etc/passwd')))", FUNCTION),
    "scalar file in WITH": ("WITH file('/etc/passwd') AS x SELECT x", FUNCTION),
    "scalar file in REPLACE": ("SELECT * REPLACE (file('/etc/passwd') AS name) FROM runs", FUNCTION),
    "scalar file in a union": ("SELECT '' UNION ALL SELECT file('/etc/passwd')", FUNCTION),
    "scalar file in a lambda": ("SELECT arrayMap(x -> file(x), ['/etc/passwd'])", FUNCTION),
    "scalar file quoted": ("SELECT `file`('/etc/passwd')", FUNCTION),
    "scalar file behind a comment": ("SELECT file/* harmless */('/etc/passwd')", FUNCTION),
    "scalar file in a parameter": ("SELECT quantile(file('/etc/passwd'))(duration) FROM runs", FUNCTION),
    "APPLY of a name": ("SELECT * APPLY(file) FROM (SELECT '/etc/passwd')", FUNCTION),
    "APPLY of a lambda": ("SELECT * APPLY(x -> file(x)) FROM (SELECT '/etc/passwd')", FUNCTION),
    "COLUMNS APPLY": ("SELECT COLUMNS('.*') APPLY file FROM (SELECT '/etc/passwd')", FUNCTION),
    "eval": ("SELECT eval('file(\\'/etc/passwd\\')')", FUNCTION),
    # table functions
    "file": ("SELECT * FROM file('/etc/passwd', 'LineAsString')", TABLE_FUNCTION),
    "url": ("SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')", TABLE_FUNCTION),
    "s3": ("SELECT * FROM s3('http://127.0.0.1:1/x', 'CSV')", TABLE_FUNCTION),
    "remote": ("SELECT * FROM remote('127.0.0.1', system.one)", TABLE_FUNCTION),
    "mysql": ("SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')", TABLE_FUNCTION),
    "sqlite": ("SELECT * FROM sqlite('/tmp/x.db', 't')", TABLE_FUNCTION),
    "executable": ("SELECT * FROM executable('id', TSV, 'x String')", TABLE_FUNCTION),
    "python": ("SELECT * FROM Python(os)", TABLE_FUNCTION),
    "merge over the base tables": ("SELECT * FROM merge('.*', 'run_events')", TABLE_FUNCTION),
    "view": ("SELECT * FROM view(SELECT * FROM system.one)", TABLE_FUNCTION),
    "viewExplain": ("SELECT * FROM viewExplain('EXPLAIN', '', (SELECT 1))", TABLE_FUNCTION),
    "cluster": ("SELECT * FROM cluster('default', system.one)", TABLE_FUNCTION),
    "loop": ("SELECT * FROM loop(runs)", TABLE_FUNCTION),
    "filesystem": ("SELECT * FROM filesystem('/etc')", TABLE_FUNCTION),
    "generateRandom": ("SELECT * FROM generateRandom('x String')", TABLE_FUNCTION),
    "numbers of a trillion": ("SELECT sum(number) FROM numbers(1000000000000)", "at most 1,000,000 rows"),
    "numbers with an offset": ("SELECT sum(number) FROM numbers(1, 2000000)", "at most 1,000,000 rows"),
    "numbers of a query": ("SELECT * FROM numbers((SELECT count() FROM system.one))", "must be written out"),
    "numbers of a function": ("SELECT * FROM numbers(length(file('/etc/passwd')))", "must be written out"),
    "generate_series without end": ("SELECT * FROM generate_series(0, 100000000000)", "at most 1,000,000 rows"),
    "values with a default": ("SELECT * FROM values('x String DEFAULT file(''/etc/passwd'')', ('a'))", "list of names and types"),
    "values of a function": ("SELECT * FROM values('x String', (file('/etc/passwd')))", "must be written out"),
    "joined table function": ("SELECT * FROM runs, file('/etc/passwd', 'LineAsString')", TABLE_FUNCTION),
    # tables
    "system table": ("SELECT * FROM system.settings", OTHER_DATABASE),
    "system table in a subquery": ("SELECT (SELECT any(name) FROM system.tables)", OTHER_DATABASE),
    "system table in WITH": ("WITH t AS (SELECT * FROM system.tables) SELECT * FROM t", OTHER_DATABASE),
    "system table in JOIN": ("SELECT * FROM runs JOIN system.one ON 1 = 1", OTHER_DATABASE),
    "system table in EXISTS": ("SELECT EXISTS(SELECT * FROM system.tables WHERE name = 'x')", OTHER_DATABASE),
    "system table right of IN": ("SELECT 1 FROM runs WHERE 0 IN system.one", OTHER_DATABASE),
    "system table in in()": ("SELECT in(0, system.one)", OTHER_DATABASE),
    "system table in globalIn()": ("SELECT globalIn(0, system.one)", OTHER_DATABASE),
    "system table right of NOT IN": ("SELECT 0 NOT IN system.one", OTHER_DATABASE),
    "system table right of GLOBAL NOT IN": ("SELECT 0 GLOBAL NOT IN system.one", OTHER_DATABASE),
    "system table in nullIn()": ("SELECT nullIn(0, system.one)", OTHER_DATABASE),
    "information schema": ("SELECT * FROM information_schema.tables", OTHER_DATABASE),
    "base table": ("SELECT payload FROM run_events", VIEW),
    "base table right of IN": ("SELECT ('r1', '') IN run_events", VIEW),
    "base table by its UUID name": ("SELECT * FROM `.inner.runs`", VIEW),
    "base table in another case": ("SELECT * FROM Runs", VIEW),
    "base table with FINAL": ("SELECT * FROM run_events FINAL", VIEW),
    "other database": ("SELECT * FROM other.runs", OTHER_DATABASE),
    "file as a table": ("SELECT * FROM default.`/etc/passwd`", OTHER_DATABASE),
    "file as a table, short": ("SELECT * FROM `/etc/passwd`", VIEW),
    "typographic quotes": ("SELECT * FROM “system”.“one”", OTHER_DATABASE),
    "three-part name": ("SELECT * FROM a.b.c", "only the views|cannot be read"),
    # names of WITH
    "WITH reads the table it names": ("WITH run_events AS (SELECT * FROM run_events) SELECT * FROM run_events", VIEW),
    "WITH of a neighbour": ("SELECT * FROM (WITH run_events AS (SELECT 1) SELECT * FROM run_events) AS a, run_events", VIEW),
    "WITH of a later sibling": ("WITH a AS (SELECT * FROM run_events), run_events AS (SELECT 1) SELECT * FROM a", VIEW),
    "WITH of another SELECT": ("SELECT * FROM run_events UNION ALL WITH run_events AS (SELECT 1) SELECT * FROM run_events", VIEW),
    "WITH of an inner union": (
        "SELECT * FROM (WITH run_events AS (SELECT 1) SELECT * FROM run_events UNION ALL SELECT 1 FROM run_events)",
        VIEW,
    ),
    "WITH of an EXCEPT": ("WITH run_events AS (SELECT 'r1') SELECT * FROM run_events EXCEPT SELECT run_id FROM run_events", VIEW),
    "WITH value is no table": ("WITH 1 AS run_events SELECT * FROM run_events", VIEW),
    # clauses
    "INTO OUTFILE": ("SELECT 1 INTO OUTFILE '/tmp/stolen'", "INTO OUTFILE is not allowed"),
    "INTO OUTFILE AND STDOUT": ("SELECT 1 INTO OUTFILE '/tmp/stolen' AND STDOUT", "INTO OUTFILE is not allowed"),
    "FORMAT": ("SELECT 1 FORMAT Null", "FORMAT is not allowed"),
    "SETTINGS": ("SELECT 1 SETTINGS max_execution_time = 0", "SETTINGS is not allowed"),
    "SETTINGS with a filter": ("SELECT 1 SETTINGS additional_table_filters = {'runs': 'file(\\'x\\') = 1'}", "SETTINGS is not allowed"),
    "SETTINGS in a subquery": ("SELECT * FROM (SELECT 1 SETTINGS max_threads = 99)", "SETTINGS is not allowed"),
    "SETTINGS after FORMAT": ("SELECT 1 FORMAT TSV SETTINGS max_threads = 99", "is not allowed"),
    "parameter": ("SELECT {x:String}", "query parameter is not allowed"),
    "parameter as a table": ("SELECT * FROM {t:Identifier}", "is not allowed"),
    # statements
    "two statements": ("SELECT 1; SELECT 2", "more than one statement"),
    "a statement behind a heredoc": ("SELECT $x$;$x$; DROP TABLE run_events", "more than one statement|cannot be read"),
    "parallel statements": ("SELECT 1 PARALLEL WITH SELECT 2", STATEMENT),
    "KILL": ("KILL QUERY WHERE 1", STATEMENT),
    "SET ROLE": ("SET ROLE writer", STATEMENT),
    "SET": ("SET readonly = 0", STATEMENT),
    "EXPLAIN": ("EXPLAIN SELECT 1", STATEMENT),
    "EXPLAIN in FROM": ("SELECT * FROM (EXPLAIN SELECT 1)", "is not allowed|cannot be read"),
    "DESCRIBE": ("DESCRIBE runs", STATEMENT),
    "SHOW": ("SHOW TABLES", STATEMENT),
    "DROP": ("DROP TABLE run_events", STATEMENT),
    "INSERT": ("INSERT INTO run_events SELECT * FROM run_events", STATEMENT),
    "CREATE": ("CREATE TABLE x ENGINE = Memory AS SELECT 1", STATEMENT),
    "ALTER": ("ALTER TABLE run_events DELETE WHERE 1", STATEMENT),
    "SYSTEM": ("SYSTEM SHUTDOWN", STATEMENT),
    "GRANT": ("GRANT writer TO default", STATEMENT),
    "EXECUTE AS": ("EXECUTE AS default SELECT 1", STATEMENT),
    "USE": ("USE system", STATEMENT),
    "BACKUP": ("BACKUP TABLE run_events TO File('/tmp/x')", STATEMENT),
    "expression alone": ("1 + 1", "cannot be read"),
    "call alone": ("file('/etc/passwd')", "cannot be read"),
    # functions that tell or do too much
    "editDistance": ("SELECT editDistance(repeat('a', 60000), repeat('b', 60000))", FUNCTION),
    "levenshtein": ("SELECT levenshteinDistance('a', 'b')", FUNCTION),
    "levenshtein in another case": ("SELECT LEVENSHTEINDISTANCE('a', 'b')", FUNCTION),
    "jaro": ("SELECT jaroWinklerSimilarity('a', 'b')", FUNCTION),
    "sleep": ("SELECT sleep(3)", FUNCTION),
    "sleepEachRow": ("SELECT sleepEachRow(1) FROM runs", FUNCTION),
    "logTrace": ("SELECT logTrace('forged')", FUNCTION),
    "getServerSetting": ("SELECT getServerSetting('max_connections')", FUNCTION),
    "getSetting": ("SELECT getSetting('max_threads')", FUNCTION),
    "hostName": ("SELECT hostName()", FUNCTION),
    "joinGet": ("SELECT joinGet('run_events', 'payload', 'r1')", FUNCTION),
    "dictGet": ("SELECT dictGet('d', 'a', 1)", FUNCTION),
    "hasColumnInTable": ("SELECT hasColumnInTable('system', 'one', 'dummy')", FUNCTION),
    "aiGenerate": ("SELECT aiGenerate('x', 'y')", FUNCTION),
    "function with a combinator": ("SELECT fileIf('/etc/passwd', 1)", FUNCTION),
    "unknown function": ("SELECT someNewFunction(1)", FUNCTION),
    "a refused aggregate by its name as a text": ("SELECT arrayReduce('aggThrow(0.99)', [1, 2])", FUNCTION),
    "a function that is no aggregate by its name as a text": ("SELECT arrayReduceInRanges('file', [(1, 1)], ['/etc/passwd'])", FUNCTION),
    "an aggregate's name worked out": ("SELECT arrayReduce(concat('agg', 'Throw'), [1, 2])", "must be written out"),
    "a state of forged bytes": ("SELECT finalizeAggregation(CAST(unhex('00FF') AS AggregateFunction(groupBitmap, UInt32)))", "CAST to Agg"),
    "a state of forged bytes, short": ("SELECT unhex('00FF')::Tuple(AggregateFunction(groupBitmap, UInt32))", "CAST to Aggregate"),
    "a state in another case": ("SELECT accurateCastOrNull('x', 'aggregatefunction(any, String)')", "CAST to Aggregate"),
    "a type worked out": ("SELECT CAST('x', concat('Aggregate', 'Function(any, String)'))", "must be written out"),
    "a type behind a name": ("WITH 'AggregateFunction(any, String)' AS t SELECT CAST('x', t)", "must be written out"),
    # texts
    "no UTF-8": (r"SELECT '\xff'", "no UTF-8"),
    "a name that is no UTF-8": (r"SELECT 1 AS `a\xff`", "no UTF-8"),
    "empty": (" \n", "is empty"),
    "NUL": ("SELECT 1\0 FROM system.one", "NUL"),
    "too long": ("SELECT '" + "x" * 65_536 + "'", "at most 65,536"),
    "half a surrogate": ("SELECT '\ud800'", "surrogate"),
    "deep brackets": ("SELECT " + "(" * 2_000 + "1" + ")" * 2_000, "cannot be read"),
    "deep sum": ("SELECT " + "+".join(["1"] * 20_000), "cannot be read|too deep"),
    "not SQL": ("give me the runs", "cannot be read|only SELECT"),
}


@pytest.mark.parametrize(("text", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_the_check_refuses_and_says_why(guard: QueryGuard, text: str, reason: str) -> None:
    with pytest.raises(QueryRefused) as refused:
        guard.check(text)
    assert re.search(reason, str(refused.value)), str(refused.value)
    assert len(str(refused.value)) < 1_000


def test_the_table_of_attacks_is_large() -> None:
    assert len(REFUSED) >= 60


def test_a_refusal_names_the_views(guard: QueryGuard) -> None:
    with pytest.raises(QueryRefused, match=r"there is no view named 'jobs'; there are .*metrics.*runs"):
        guard.check("SELECT * FROM jobs")


def test_kql_is_refused_until_it_is_supported(guard: QueryGuard) -> None:
    with pytest.raises(QueryRefused, match="kql are not supported"):
        guard.check("runs | take 1", language="kql")


def test_a_file_that_the_process_can_read_stays_unread(guard: QueryGuard, guarded_history: HistoryDatabase) -> None:
    # The function works on this engine; only the check stands before it.
    assert guarded_history.client().query("SELECT length(file('/etc/passwd'))").result_rows[0][0] > 0
    with pytest.raises(QueryRefused):
        guard.check("SELECT length(file('/etc/passwd'))")
