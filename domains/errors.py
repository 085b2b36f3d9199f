"""The one error a user is meant to read, and what is quoted of others."""

from collections.abc import Collection, Iterable


class UserError(Exception):
    """Something the user can mend: one line that says what is wrong, where, and what to do.

    The command line prints it without a traceback and exits with code 2.
    """


def check_known(names: Iterable[str], there: Collection[str], what: str, where: str = "") -> None:
    """Raise UserError at the first name that is none of those there are; ``where`` follows it, with a space before."""
    for name in names:
        if name not in there:
            raise UserError(f"no {what} {name!r}{where}; there are: {', '.join(there)}")


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or what kind it is."""
    return (str(error).splitlines() or [type(error).__name__])[0]
