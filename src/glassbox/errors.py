"""What can go wrong, as one tree of exceptions; each knows the exit code of the process that it ends.

```
GlassboxError            1
└── BadInput             2   the config, a file or the machine does not fit
```
"""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """Return `", did you mean 'x'?"` for the nearest option, or nothing.

    Args:
        word: What was typed.
        options: What could have been.

    Example:
        >>> did_you_mean("adm", ["adam", "sgd"])
        ", did you mean 'adam'?"
    """
    near = difflib.get_close_matches(word, list(options), n=1, cutoff=0.55)
    return f", did you mean '{near[0]}'?" if near else ""


def told(error: BaseException) -> str:
    r"""Write an exception in one line: its kind and its words; one of ours needs only its words.

    Args:
        error: The exception.

    Example:
        >>> told(RuntimeError("the disk is\nfull"))
        'RuntimeError: the disk is full'
    """
    words = " ".join(str(error).split())
    return words if isinstance(error, GlassboxError) else f"{type(error).__name__}: {words}"


class GlassboxError(Exception):
    """An error that is told in one or two lines, without a traceback.

    Attributes:
        exit_code: The exit code of a process that ends with this error.

    Example:
        >>> try:
        ...     raise BadInput("lr=-1: must be a finite number > 0")
        ... except GlassboxError as error:
        ...     print(f"{error}; exit code {error.exit_code}")
        lr=-1: must be a finite number > 0; exit code 2
    """

    exit_code = 1


class BadInput(GlassboxError):
    """What the user gave does not fit: the message says what is wrong, where, and what to do.

    Example:
        >>> raise BadInput("lr=-1: must be a finite number > 0; try lr=1e-3")
        Traceback (most recent call last):
        glassbox.errors.BadInput: lr=-1: must be a finite number > 0; try lr=1e-3
    """

    exit_code = 2
