"""The one error a user is meant to read, and what is quoted of others."""

from collections.abc import Collection, Iterable

LONGEST = 2000  # characters of a message, which may quote a cell of any length


class UserError(Exception):
    """Something the user can correct: one line that says what is wrong, where, and what to do.

    The command line prints it without a traceback and exits with code 2. The middle of a very long one is left out.
    """

    def __init__(self, message: str = "") -> None:
        half = LONGEST // 2
        super().__init__(message if len(message) <= LONGEST else f"{message[:half]} … {message[-half:]}")


class UnreachableError(UserError):
    """What lies elsewhere could not be fetched; the same may work when it is tried again."""


def check_known(names: Iterable[str], there: Collection[str], what: str, where: str = "") -> None:
    """Raise UserError at the first name that is none of those there are; ``where`` follows it, with a space before."""
    for name in names:
        if name not in there:
            raise UserError(f"no {what} {name!r}{where}; there are: {', '.join(there)}")


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or what kind it is."""
    return (str(error).splitlines() or [type(error).__name__])[0]
