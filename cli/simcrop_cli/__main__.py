"""Entry point: runs a command and turns what went wrong into one line and an exit status."""

import logging
import os
import sys
from collections.abc import Sequence

from simcrop.core.errors import SimcropError
from simcrop_cli.app import app
from simcrop_cli.signals import stop


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; those of the process by default.

    Returns:
        Exit status: 0 done, 1 an error of the user's files or configuration, 2 wrong usage, 130 after Ctrl-C and 143
        after SIGTERM.
    """
    # Of several processes, the first speaks for all; every one still warns.
    level = logging.INFO if os.environ.get("RANK", "0") == "0" else logging.WARNING
    logging.basicConfig(format="simcrop: %(message)s", level=logging.WARNING)
    logging.getLogger("simcrop").setLevel(level)
    try:
        with stop.installed():
            app(args=arguments, prog_name="simcrop")
    except SimcropError as error:
        return _fail(str(error))
    except OSError as error:
        if error.filename is None:
            raise
        return _fail(f"{error.filename}: {error.strerror}")
    except SystemExit as done:
        return stop.status or (done.code if isinstance(done.code, int) else 0)
    return stop.status


def _fail(message: str) -> int:
    print(f"simcrop: {' '.join(message.split())}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
