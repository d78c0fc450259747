"""`python -m infer_torchvision_resnext classify INPUT OUTPUT`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..bulk.job import run
from ..bulk.parts import FORMATS
from ..bulk.reduction import CHOICES
from ..bulk.request import Request
from ..bulk.shards import Shard
from ..parameters.task import read_host_map
from ..resnext.machine.printable import shown

EXIT_INTERRUPTED = 130
"""As shells give it for Ctrl-C."""


def main(arguments: Sequence[str]) -> int:
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        request = Request(
            given.input,
            Path(given.output),
            read_host_map(_settings(given.set)),
            given.format,
            given.column,
            given.reduced_decoding,
            given.workers,
            say=lambda sentence: print(sentence, file=sys.stderr),
            shard=Shard.from_text(given.shard),
            retry_errors=given.retry_errors,
        )
        if given.on == "ray":
            from ..bulk.on_ray import Cluster, run_on_ray

            cluster = Cluster(given.ray_address, given.ray_workers, given.cpus_per_worker, given.gpus_per_worker)
            summary = run_on_ray(request, cluster)
        else:
            summary = run(request)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped: the same command goes on where it stood", file=sys.stderr)
        return EXIT_INTERRUPTED
    print(summary)
    if summary.all_failed:
        first = f"; the first is {shown(summary.first_error)}" if summary.first_error else ""
        print(f"no image could be classified: every row is an error{first}", file=sys.stderr)
        return 1
    return 0


def _settings(pairs: Sequence[str]) -> dict[str, str]:
    """KEY=VALUE, … → the task's map. Raises: ValueError."""
    if wrong := [pair for pair in pairs if "=" not in pair]:
        raise ValueError("\n".join(f"--set {pair!r}: expected KEY=VALUE, such as top_k=3" for pair in wrong))
    return dict(pair.split("=", 1) for pair in pairs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="infer_torchvision_resnext classify",
        description="Write a row for every image. After an interruption the same command goes on where it stood.",
    )
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="a folder, or its URL in a bucket; a .csv or .parquet manifest; a video; a file with a path or URL a line",
    )
    parser.add_argument(
        "output",
        metavar="OUTPUT",
        help="a folder for the table, new, empty or of the same job; or a new .csv file, for people",
    )
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="parameters of the task"
    )
    parser.add_argument("--format", choices=FORMATS, help="of the files in a folder (parquet)")
    parser.add_argument("--column", default="path", help="of a manifest, where the paths are (path)")
    parser.add_argument(
        "--reduced-decoding",
        choices=CHOICES,
        default="auto",
        help="auto decodes large JPEG files at a reduced scale where the answers to the first of them stay",
    )
    parser.add_argument("--workers", type=int, default=0, help="processes that decode; 0 = the machine's cores")
    parser.add_argument(
        "--shard",
        default="1/1",
        metavar="I/N",
        help="share OUTPUT with other machines: start N commands, with I from 1 to N",
    )
    parser.add_argument("--retry-errors", action="store_true", help="classify rows again that are errors")
    parser.add_argument("--on", choices=("local", "ray"), default="local")
    parser.add_argument("--ray-address", default="", help="of a running cluster; without it one is started here")
    parser.add_argument("--ray-workers", type=int, default=0, help="classifiers at most; 0 = as many as have room")
    parser.add_argument("--cpus-per-worker", type=float, default=1)
    parser.add_argument("--gpus-per-worker", type=float, default=0)
    return parser
