"""The base of every error that Podform raises on purpose.

Every package derives its own errors from PodformError. An error's text is a sentence for people: it
names the field, what is wrong with its value and what is allowed, and never carries a sensitive value.
"""


class PodformError(Exception):
    """Base of all errors raised on purpose; str(error) can be shown to a user as it is."""


class BadInputError(PodformError):
    """A value from outside is not acceptable: `field` names it, `problem` says why and what is allowed."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem
