"""The one error a user is meant to read, and what is quoted of others."""


class UserError(Exception):
    """Something the user can mend: one line that says what is wrong, where, and what to do.

    The command line prints it without a traceback and exits with code 2.
    """


def line(error: BaseException) -> str:
    """Return the first line of what an error says, or what kind it is."""
    return (str(error).splitlines() or [type(error).__name__])[0]
