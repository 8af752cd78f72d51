"""`python -m bench [w1 w2 w3 w4 w6 w7 w8 x1 x2 x3 x4 x5] [--quick]`: runs the workloads, shows the table, keeps the samples as JSON."""

import argparse
import gc
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg

from bench import databases, machine, report, w1, w2, w3, w4, w6, w7, w8, x1, x2, x3, x4, x5
from bench.databases import Databases
from bench.measure import Result
from bench.options import Options

WORKLOADS: Mapping[str, Callable[[Databases, Options], list[Result]]] = {
    "w1": w1.run,
    "w2": w2.run,
    "w3": w3.run,
    "w4": w4.run,
    "w6": w6.run,
    "w7": w7.run,
    "w8": w8.run,
    "x1": x1.run,
    "x2": x2.run,
    "x3": x3.run,
    "x4": x4.run,
    "x5": x5.run,
}
RESULTS = Path(__file__).parent / "results"
QUICK = Options(rounds=1, seconds=0.5, pinned=True, sizes=(20_000,), is_quick=True)
WHOLE = Options(rounds=3, seconds=3.0, pinned=True, sizes=(100_000, 1_000_000))


def main() -> None:
    arguments = _arguments()
    options = QUICK if arguments.quick else WHOLE
    options = Options(
        rounds=arguments.rounds or options.rounds,
        seconds=arguments.seconds or options.seconds,
        pinned=not arguments.unpinned,
        sizes=tuple(arguments.sizes or options.sizes),
        is_quick=arguments.quick,
    )
    with tempfile.TemporaryDirectory(prefix="berth-bench-", dir=arguments.directory) as directory:
        facts = machine.describe(Path(directory))
        with databases.start(Path(directory), with_postgresql=not arguments.sqlite_only) as found:
            if found.server is not None:
                facts["postgresql"] = _version(found.server)
            results = []
            for name in arguments.workloads or WORKLOADS:
                gc.collect()
                results += WORKLOADS[name](found, options)
    report.show(results, facts)
    print(f"Every sample: {report.save(results, facts, RESULTS)}")


def _version(server: str) -> str:
    with psycopg.connect(server) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    return str(row[0]) if row else ""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "workloads", nargs="*", metavar="workload", help=f"of {', '.join(WORKLOADS)}; default all"
    )
    parser.add_argument(
        "--quick", action="store_true", help="about a minute; figures to look at, not to quote"
    )
    parser.add_argument("--sqlite-only", action="store_true", help="without PostgreSQL")
    parser.add_argument("--unpinned", action="store_true", help="let the scheduler place server and load")
    parser.add_argument("--rounds", type=int, help="rounds that say something")
    parser.add_argument("--seconds", type=float, help="of each timed step")
    parser.add_argument("--sizes", type=int, nargs="+", help="rows for W3 and W4")
    parser.add_argument(
        "--directory", type=Path, help="where the databases are put; default the temporary directory"
    )
    found = parser.parse_args()
    unknown = set(found.workloads) - set(WORKLOADS)
    if unknown:
        parser.error(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}")
    return found


if __name__ == "__main__":
    main()
