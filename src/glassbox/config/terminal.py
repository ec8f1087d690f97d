"""How a program ends: one or two lines for what the user can mend, a traceback for what they cannot."""

import os
import sys
from collections.abc import Callable
from typing import NoReturn

from glassbox.errors import GlassboxError
from glassbox.process import INTERRUPTED, collect_rarely, leave_garbage


def exit_with(program: Callable[[], int]) -> NoReturn:
    """Run a program and exit with its code; Ctrl-C and an error of ours are told in a line, on standard error.

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
    except KeyboardInterrupt:
        print("Interrupted", file=sys.stderr)
        code = INTERRUPTED
    finally:
        leave_garbage()
    sys.exit(code)
