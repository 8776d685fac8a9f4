"""Faults of the mail server."""

import asyncio
import random

from tests.faults.environment import Action, Environment


def reply_always(phase: str, answer: str, lasts: float = 0) -> Action:
    """The mail server gives this reply at one phase of every mail, for some seconds."""

    async def action(environment: Environment, rng: random.Random) -> None:
        environment.log_event(f"SMTP: {answer} at {phase}")
        environment.smtp.always[phase] = answer
        if phase in ("connect", "ehlo", "login"):  # open sessions would not reach this phase
            environment.smtp_proxy.reset()
        await asyncio.sleep(lasts or rng.uniform(3, 8))
        environment.smtp.always.pop(phase, None)

    return action


def reply_sometimes(answer: str, *phases: str) -> Action:
    """The mail server gives this reply to two to six mails."""

    async def action(environment: Environment, rng: random.Random) -> None:
        phase, times = rng.choice(phases), rng.randint(2, 6)
        environment.log_event(f"SMTP: {answer} at {phase}, {times} times")
        environment.smtp.then(phase, *[answer] * times)
        if phase in ("connect", "ehlo", "login"):
            environment.smtp_proxy.reset()
        await asyncio.sleep(rng.uniform(3, 6))

    return action


def server_stopped(lasts: float = 0) -> Action:
    """The mail server refuses connections."""

    async def action(environment: Environment, rng: random.Random) -> None:
        seconds = lasts or rng.uniform(4, 10)
        environment.log_event(f"SMTP: stopped for {seconds:.0f} s")
        await environment.smtp_proxy.stop()
        await asyncio.sleep(seconds)
        await environment.smtp_proxy.heal()

    return action
