"""Who comes and goes; see test_ray for real workers."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tts.errors import BackendError, ConfigError
from tts.executors._crew import Crew
from tts.executors._member import Lost


class Hand:
    def __init__(self):
        self.load, self.there = 0, True

    async def aclose(self):
        self.there = False

    def kill(self):
        self.there = False


class Agency:
    """Sends hands, or what is listed in place of one."""

    def __init__(self, *answers):
        self.answers, self.sent = list(answers), []

    async def __call__(self):
        await asyncio.sleep(0)
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer
        self.sent.append(Hand())
        return self.sent[-1]


async def settled(crew):
    while crew._hiring:
        await asyncio.gather(*crew._hiring)


async def test_whoever_has_the_least_in_hand_is_next():
    crew = Crew(Agency(), 3, 0)
    await crew.fill()
    for load, member in zip((2, 1, 3), crew.members, strict=True):
        member.load = load
    assert (await crew.free()).load == 1


async def test_filling_again_brings_nobody_in_place_of_lost_ones():
    agency = Agency()
    crew = Crew(agency, 2, 0)
    await crew.fill()
    crew.lose(crew.members[0], Lost("gone"))
    await crew.fill()
    assert (len(crew.members), len(agency.sent)) == (1, 2)


async def test_if_one_does_not_come_up_the_others_go():
    agency = Agency(None, ConfigError("No."))
    crew = Crew(agency, 2, 5)
    with pytest.raises(ConfigError, match="No"):
        await crew.fill()
    assert not crew.members
    assert [hand.there for hand in agency.sent] == [False]


async def test_a_lost_one_is_replaced_once(caplog):
    caplog.set_level(logging.WARNING, "tts")
    agency = Agency()
    crew = Crew(agency, 2, 5)
    await crew.fill()
    first = crew.members[0]
    for _ in range(3):  # told by each problem that it had in hand
        crew.lose(first, Lost("gone"))
    await settled(crew)
    assert len(crew.members) == 2 and first not in crew.members and not first.there
    assert len(agency.sent) == 3
    assert len(caplog.records) == 1


async def test_who_waits_gets_the_replacement():
    crew = Crew(Agency(), 1, 1)
    await crew.fill()
    crew.lose(first := crew.members[0], Lost("gone"))
    assert await crew.free() is not first


async def test_replacements_that_do_not_come_up_use_up_the_restarts():
    agency = Agency(None, BackendError("no"), Lost("gone"), ConfigError("no room"))
    crew = Crew(agency, 1, 3)
    await crew.fill()
    crew.lose(crew.members[0], Lost("gone"))
    with pytest.raises(BackendError, match="All Ray workers are lost"):
        await crew.free()
    assert not agency.answers


async def test_going_home_calls_off_who_is_on_the_way():
    agency = Agency()
    crew = Crew(agency, 2, 5)
    await crew.fill()
    crew.lose(crew.members[0], Lost("gone"))
    await crew.aclose()
    assert not crew.members and not any(hand.there for hand in agency.sent)
