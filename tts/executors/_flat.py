"""Values as bytes, for another process: search trees as flat tables of nodes, shared ones once.

A trajectory points to its parent, so plain pickling descends once for every step of an answer, and
gives up at some hundreds. Here the nodes go first, parents before children, and whatever refers to
one refers to its number. Sharing survives: what was one node arrives as one.
"""

from __future__ import annotations

import io
import pickle
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from tts.errors import BackendError
from tts.types import Trajectory

_FIELDS = [f.name for f in fields(Trajectory) if f.name != "parent"]


def pack(value: object) -> bytes:
    """A value as bytes.

    Raises:
        Exception: Something in it cannot be pickled.
    """
    nodes: dict[Trajectory, int] = {}
    body = io.BytesIO()
    _Packer(body, nodes).dump(value)
    rows = [(node.parent and nodes[node.parent], *_content(node)) for node in nodes]
    head = io.BytesIO()
    _Packer(head, {}).dump(rows)
    return pickle.dumps((head.getvalue(), body.getvalue()), pickle.HIGHEST_PROTOCOL)


def unpack(data: bytes) -> Any:
    """The value of `pack`. Only for bytes from our own processes: unpickling runs code."""
    head, body = pickle.loads(data)
    nodes: list[Trajectory] = []
    for parent, *content in pickle.loads(head):
        above = None if parent is None else nodes[parent]
        nodes.append(Trajectory(above, **dict(zip(_FIELDS, content, strict=True))))
    return _Unpacker(io.BytesIO(body), nodes).load()


def portable(error: Exception) -> Exception:
    """The error itself if it survives the journey, or else a fault that says the same."""
    try:
        if type(unpack(pack(error))) is type(error):
            return error
    except Exception:  # whatever somebody's exception does when it is pickled
        pass
    return BackendError(f"{type(error).__name__}: {error}")


def _content(node: Trajectory) -> tuple[Any, ...]:
    return tuple(getattr(node, name) for name in _FIELDS)


def _read_only(values: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(values)


class _Packer(pickle.Pickler):
    """Writes numbers in place of nodes.

    Args:
        file: Where to.
        nodes: The numbers; grows, and holds parents before their children.
    """

    def __init__(self, file: io.BytesIO, nodes: dict[Trajectory, int]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._nodes = nodes

    def persistent_id(self, obj: object) -> int | None:
        """The number of a node, and None for anything else."""
        if not isinstance(obj, Trajectory):
            return None
        path: list[Trajectory] = []
        node: Trajectory | None = obj
        while node is not None and node not in self._nodes:
            path.append(node)
            node = node.parent
        for node in reversed(path):
            self._nodes[node] = len(self._nodes)
        return self._nodes[obj]

    def reducer_override(self, obj: object) -> Any:
        """Read-only mappings, which pickle does not know."""
        if isinstance(obj, MappingProxyType):
            return _read_only, (dict(obj),)
        return NotImplemented


class _Unpacker(pickle.Unpickler):
    """Puts nodes in place of their numbers."""

    def __init__(self, file: io.BytesIO, nodes: list[Trajectory]) -> None:
        super().__init__(file)
        self._nodes = nodes

    def persistent_load(self, pid: int) -> Trajectory:
        """The node of a number."""
        return self._nodes[pid]
