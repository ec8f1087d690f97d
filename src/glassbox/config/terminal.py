"""How a program ends: one or two lines for what the user can mend, a traceback for what they cannot."""

import os
import sys
from collections.abc import Callable
from typing import NoReturn

from glassbox.errors import GlassboxError
from glassbox.process import collect_rarely, leave_garbage


def exit_with(program: Callable[[], int]) -> NoReturn:
    """Run a program and exit with its code; an error of ours is told in its own words, on standard error.

    With HYDRA_FULL_ERROR=1 the traceback is shown, too.

    Args:
        program: What to run; it returns the exit code.
    """
    collect_rarely()
    try:
        code = program()
    except GlassboxError as error:
        if os.environ.get("HYDRA_FULL_ERROR", "0") != "0":
            raise
        print(f"Error: {error}", file=sys.stderr)
        code = error.exit_code
    finally:
        leave_garbage()
    sys.exit(code)
