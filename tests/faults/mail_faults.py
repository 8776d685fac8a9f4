"""What the mail server does to us."""

import asyncio
import random

from tests.faults.environment import Action, World


def says(phase: str, answer: str, lasts: float = 0) -> Action:
    """The mail server answers everybody so for a while."""

    async def action(world: World, rng: random.Random) -> None:
        world.note(f"SMTP: {answer} at {phase}")
        world.smtp.always[phase] = answer
        if phase in ("connect", "ehlo", "login"):  # else the sessions that are open would not notice
            world.smtp_proxy.reset()
        await asyncio.sleep(lasts or rng.uniform(3, 8))
        world.smtp.always.pop(phase, None)

    return action


def now_and_then(answer: str, *phases: str) -> Action:
    """A few mails meet this."""

    async def action(world: World, rng: random.Random) -> None:
        phase, times = rng.choice(phases), rng.randint(2, 6)
        world.note(f"SMTP: {answer} at {phase}, {times} times")
        world.smtp.then(phase, *[answer] * times)
        if phase in ("connect", "ehlo", "login"):
            world.smtp_proxy.reset()
        await asyncio.sleep(rng.uniform(3, 6))

    return action


def away_for(lasts: float = 0) -> Action:
    """Nobody listens there."""

    async def action(world: World, rng: random.Random) -> None:
        seconds = lasts or rng.uniform(4, 10)
        world.note(f"SMTP: away for {seconds:.0f} s")
        await world.smtp_proxy.stop()
        await asyncio.sleep(seconds)
        await world.smtp_proxy.heal()

    return action
