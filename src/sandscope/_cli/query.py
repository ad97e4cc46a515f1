"""`sandscope query`: ask the local store in SQL."""

from __future__ import annotations

import argparse
import csv
import json
import sys

from sandscope._cli._collector_options import add_data_to
from sandscope._cli._local_store import local_store

_EXAMPLE = "SELECT name, status, count(*) FROM executions GROUP BY ALL"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's options."""
    parser.description = (
        "Query the Collector's files of `sandscope run` in DuckDB's SQL. The tables are executions, spans, logs and "
        'metrics; "DESCRIBE executions" lists the columns.'
    )
    parser.epilog = f'for example: sandscope query "{_EXAMPLE}"'
    parser.add_argument("sql", metavar="SQL", help="the query; - reads it from standard input")
    parser.add_argument(
        "--format",
        choices=["table", "csv", "json"],
        default="table",
        help="(default: table); JSON is one list",
    )
    add_data_to(parser)
    parser.set_defaults(handler=_query)


def _query(arguments: argparse.Namespace) -> int:
    sql = sys.stdin.read() if arguments.sql == "-" else arguments.sql
    with local_store(arguments) as database:
        table = database.query(sql)
    if arguments.format == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(table.columns)
        writer.writerows(table.rows)
    elif arguments.format == "json":
        print(json.dumps(table.by_name(), indent=2, default=str))
    else:
        from sandscope._cli._text_tables import print_table  # rich may not be installed

        print_table(*table)
    return 0
