"""What a wrapper takes over from what it wraps."""

from __future__ import annotations

from inspect import getattr_static


def adopt(wrapper: object, inner: object, *, methods_only: bool = False) -> None:
    """Give a wrapper all public attributes of what it wraps that it has not itself.

    They are put on the wrapper itself, since that is where optional protocols (`KnowsWords`,
    `Chooses`, ...) are looked for; so it has exactly those that the other has.

    Args:
        wrapper: Has a dictionary.
        inner: Is wrapped.
        methods_only: Leave out values, for an object whose values change.
    """
    for name in dir(inner):
        if name.startswith("_") or hasattr(type(wrapper), name):
            continue
        # Looked at without asking: a property may compute, or not be ready yet.
        if not methods_only or callable(getattr_static(inner, name)):
            vars(wrapper).setdefault(name, getattr(inner, name))
