"""Several servers of one model: whom to ask, and whom to leave alone for a while.

Pure: time is given, nothing is sent. A replica is ejected after a few faults in a row; after a
cool-down one request tries it, and its outcome decides. A problem stays with the replica that has
its prefix in the cache, unless that one is ejected or clearly busier than another.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

_MOST_FAULTS = 3  # in a row
_COOL_SECONDS = (2.0, 60.0)  # first and longest cool-down; each is twice the one before
_TRIED_SECONDS = 5.0  # a trial that has not failed by then lets others in
_STICKY = (2.0, 1.25)  # a problem moves if its replica has more than 2 + 1.25 times the least load
_REMEMBERED = 8192  # problems


@dataclass(slots=True, eq=False)
class Replica:
    """One server.

    Attributes:
        url: Its base URL.
        load: Requests that it works on.
        served: Requests that it was given.
        faults: In a row.
        closed_until: Time (s) at which it may be tried again; None while it is well.
        tried_since: Time (s) at which the trial began that is under way, if one is.
        cool_down: The last cool-down (s); 0 if there was none since it was well.
    """

    url: str
    load: int = 0
    served: int = 0
    faults: int = 0
    closed_until: float | None = None
    tried_since: float | None = None
    cool_down: float = 0.0

    def open(self, now: float) -> bool:
        """Whether a request may be sent to it."""
        if self.closed_until is None:
            return True
        if self.tried_since is not None:
            return now - self.tried_since >= _TRIED_SECONDS
        return now >= self.closed_until

    def eject(self, now: float) -> None:
        """Leave it alone for a cool-down."""
        first, longest = _COOL_SECONDS
        self.cool_down = min(longest, 2 * self.cool_down or first)
        self.closed_until = now + self.cool_down
        self.tried_since = None


@dataclass(frozen=True, slots=True, eq=False)
class Visit:
    """One request at one replica; `trial` if it decides whether the replica is back."""

    replica: Replica
    trial: bool


@dataclass(slots=True, eq=False)
class Router:
    """Chooses replicas and remembers how they did.

    Attributes:
        replicas: All of them; those that do not answer at the start are ejected by the caller.
        ejections: How often one was ejected after it had been well.
        down_since: Time (s) since which none is well; None if one is.
    """

    replicas: Sequence[Replica]
    ejections: int = 0
    down_since: float | None = None
    _homes: OrderedDict[Hashable, Replica] = field(default_factory=OrderedDict)

    def visit(self, key: Hashable, now: float) -> Visit | None:
        """Send a request to the best replica for what `key` names; None if none is open."""
        replica = self._choose(key, now)
        if replica is None:
            return None
        self._homes[key] = replica
        self._homes.move_to_end(key)
        if len(self._homes) > _REMEMBERED:
            self._homes.popitem(last=False)
        trial = replica.closed_until is not None and replica.tried_since is None
        if trial:
            replica.tried_since = now
        replica.load += 1
        replica.served += 1
        return Visit(replica, trial)

    def _choose(self, key: Hashable, now: float) -> Replica | None:
        candidates = [r for r in self.replicas if r.open(now)]
        well = [r for r in candidates if r.closed_until is None]
        # One that is to be tried must get a request now and then, even if the others do well.
        due = [r for r in candidates if r.closed_until is not None and r.tried_since is None]
        if due:
            return due[0]
        if not candidates:
            return None
        best = min(well or candidates, key=lambda r: (r.load, r.served))
        home = self._homes.get(key)
        if home in candidates and home.load <= _STICKY[0] + _STICKY[1] * best.load:
            return home
        return best

    def wait(self, now: float) -> float:
        """Seconds until a replica may be open, if none is now."""
        times = [
            r.tried_since + _TRIED_SECONDS if r.tried_since is not None else r.closed_until or now
            for r in self.replicas
        ]
        return max(0.0, min(times) - now)

    def down_for(self, now: float) -> float:
        """Seconds for which none has been well; 0 if one is."""
        return 0.0 if self.down_since is None else now - self.down_since

    def ended(self, visit: Visit, *, well: bool | None, now: float) -> None:
        """A visit is over.

        Args:
            visit: The visit.
            well: Whether the replica did its work; None if nothing can be said.
            now: Time (s).
        """
        replica = visit.replica
        replica.load -= 1
        if well is None:
            if visit.trial and replica.closed_until is not None:
                replica.tried_since = None
        elif well:
            replica.faults, replica.cool_down = 0, 0.0
            replica.closed_until = replica.tried_since = None
            self.down_since = None
        elif visit.trial and replica.closed_until is not None:
            replica.eject(now)
        elif replica.closed_until is None:
            self._fault(replica, now)

    def _fault(self, replica: Replica, now: float) -> None:
        replica.faults += 1
        if replica.faults >= _MOST_FAULTS:
            replica.eject(now)
            self.ejections += 1
            if all(r.closed_until is not None for r in self.replicas):
                self.down_since = now
