# SPDX-License-Identifier: BSD-3-Clause
"""The command ``lstmfast``: ``demo`` shows the library at work, ``info`` says what it runs on."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments, ``sys.argv[1:]`` by default.

    Examples
    --------
    >>> main(["info"])  # doctest: +ELLIPSIS
    version ...
    0
    """
    options = _parser().parse_args(argv)
    if options.command == "info":
        from .runtime import show_config

        show_config()
        return 0
    from .demo import run

    return run(
        epochs=options.epochs,
        units=options.units,
        seed=options.seed,
        threads=options.threads,
        picture=options.picture,
        save=options.save,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lstmfast", description="Recurrent networks on the CPU.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="train an LSTM to recognise nine speakers (a few seconds)",
        description=(
            "Train an LSTM on JapaneseVowels (9 speakers, 270 utterances), test it on 370 others, save it, "
            "load it again, and compare its speed and its results with an LSTM in plain NumPy."
        ),
    )
    demo.add_argument(
        "--epochs", type=_positive, default=40, metavar="N", help="passes over the training data (default 40)"
    )
    demo.add_argument(
        "--units", type=_positive, default=100, metavar="N", help="size of the LSTM (default 100)"
    )
    demo.add_argument(
        "--seed", type=_seed, default=0, metavar="N", help="for weights, dropout and shuffling (default 0)"
    )
    demo.add_argument("--threads", type=_positive, metavar="N", help="threads to use (default: all CPUs)")
    demo.add_argument("--save", metavar="PATH", help="keep the model (.safetensors or .keras)")
    demo.add_argument(
        "--picture", metavar="PATH", help="draw recognised against true speakers (needs matplotlib)"
    )
    about = "show version, instruction sets, threads and caches"
    commands.add_parser("info", help=about, description=about.capitalize() + ".")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1 on, got {number}")
    return number


def _seed(text: str) -> int:
    number = int(text)
    if not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 2**32 - 1, got {number}")
    return number
