"""Which of two values counts: the workspace's own, or the setting. Pure; asked where a step or run begins."""


def effective(of_workspace: int | None, setting: int) -> int:
    """Seconds; 0 = none. A workspace may switch off what the setting says."""
    return setting if of_workspace is None else of_workspace
