"""The notifier's process: its settings, the mailer, and the handler that sends mails."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Final
from uuid import uuid4

from fastapi import FastAPI

from contracts import topics
from runtime.consumer_app import OWN, Openers, Resources, Stage, create_consumer_app
from runtime.database.circuit_breaker import CircuitBreaker
from runtime.kafka.failure_publisher import FailurePublisher
from runtime.kafka.policy import Policy
from runtime.kafka.reconcile import Reconciler
from runtime.settings import load
from runtime.sites.file import SitesFileError, environment, exit_with, load_sites
from runtime.sites.model import Sites
from runtime.sites.watcher import watch_sites
from services.notifier.alert_collection import AlertCollection
from services.notifier.canaries import CanaryMails
from services.notifier.delivery_values import group_of
from services.notifier.digests.alert_digests import AlertDigests
from services.notifier.digests.digest_store import DigestStore
from services.notifier.digests.held_digests import HeldDigests
from services.notifier.handlers import Handler
from services.notifier.mail.alert_schedule import AlertSchedule
from services.notifier.mail.dkim_signers import DkimKeyError, DkimSigners
from services.notifier.mail.identities import Identities
from services.notifier.mail.message import Identity
from services.notifier.other_leads import read_other_leads
from services.notifier.recovery.recover_mail_outcomes import MailOutcomeRecovery
from services.notifier.routes import preview_routes
from services.notifier.sending.recent_outcomes import RecentOutcomes
from services.notifier.sending.token_bucket import TokenBucket
from services.notifier.settings import Settings
from services.notifier.smtp.mailer import open_mailer
from services.notifier.store import Store
from services.notifier.template_watcher import TemplateWatcher
from services.notifier.witnesses.witness_mails import WitnessMails

NAME: Final = "notifier"
FAILURE_SECONDS: Final = 5.0


def create_app(settings: Settings | None = None, openers: Openers = OWN) -> FastAPI:
    """Return the app. It opens no connection before its lifespan begins."""
    settings = settings or load(Settings)
    identities = open_identities(settings)
    signers = open_signers(settings, identities.sites)
    app = create_consumer_app(
        NAME,
        settings,
        topics.consumed_by(NAME),
        topics.GROUPS[NAME],
        partial(_open_stage, settings, identities, signers),
        openers=openers,
        # A stop waits only for mails whose body is being sent.
        policy=Policy(
            max_records=settings.batch_max_records, drain_seconds=settings.mail_timeout_seconds + 1
        ),
    )
    app.include_router(preview_routes(identities))
    return app


def open_identities(settings: Settings) -> Identities:
    """Return the identities of all sites. Exits if the sites file has a mistake.

    A mistake in a site's templates only causes a warning.
    """
    path = settings.sites_file.path
    default = Identity(
        settings.from_email,
        settings.sender_name,
        settings.admins,
        settings.admin_url,
        alert_schedule=AlertSchedule(settings.alert_frequency, settings.alert_hour, settings.timezone),
        smtp_host=settings.smtp.host,
    )
    return Identities(default, load_sites(path), path.parent if path else None)


def open_signers(settings: Settings, sites: Sites) -> DkimSigners:
    """Return the DKIM keys of all senders. Exits if a key is unusable."""
    try:
        return DkimSigners(settings, sites, environment())
    except SitesFileError as error:
        exit_with(settings.sites_file.path, error)
    except DkimKeyError as error:
        sys.exit(f"wrong settings: {error}")


def _new_collection(settings: Settings, identities: Identities) -> AlertCollection:
    """Return the rules for the alerts of one batch that a digest lists."""
    return AlertCollection(
        datetime.now(UTC),
        settings.alert_burst,
        settings.alert_burst_seconds,
        lambda site: identities.of(site).alert_schedule,
        lambda lead: group_of(lead, identities),
    )


@asynccontextmanager
async def _open_stage(
    settings: Settings, identities: Identities, signers: DkimSigners, resources: Resources
) -> AsyncIterator[Stage]:
    async def apply(sites: Sites) -> None:
        keys = await signers.read(sites)
        await identities.apply(sites)
        signers.by_sender = keys

    watching = watch_sites(settings.sites_file.path, identities.sites, resources.health, apply)
    templates = TemplateWatcher(identities, resources.health)
    pool, ledger, consumer = resources.pool, resources.ledger, resources.consumer
    new_collection = partial(_new_collection, settings, identities)
    store = Store(
        pool,
        ledger,
        uuid4(),
        identities,
        lease_seconds=settings.lease_seconds,
        welcomes_per_day=settings.welcomes_per_day,
        welcomes_per_site_and_hour=settings.welcomes_per_site_and_hour,
        new_collection=new_collection,
    )
    # Lost outcomes are recovered without a rewind of the consumer group, so that no sent mail is sent again.
    # If the retry topic has a new log, it is read by time, so that no old retry is sent again. The flusher
    # repeats a retry that the new log does not hold.
    recovery = MailOutcomeRecovery(settings.kafka, pool, ledger, identities, new_collection)
    reconciler = Reconciler(settings.kafka, pool, ledger, recovery.run, [topics.RETRY_NOTIFIER.name])
    recent = RecentOutcomes(resources.health)
    async with open_mailer(settings, resources.health, consumer.stopping, signers) as mailer:
        publisher = FailurePublisher(resources.publisher, NAME, resources.group, FAILURE_SECONDS)
        canaries = CanaryMails(pool, mailer, identities, settings.canary_mailbox or "")
        handler = Handler(
            store,
            mailer,
            publisher,
            identities,
            consumer.stopping,
            CircuitBreaker(NAME, pool),
            TokenBucket(settings.mails_per_second),
            recent,
            connections=settings.connections,
            holds=consumer.is_assigned,
            read_other_leads=partial(read_other_leads, pool),
            canaries=canaries,
        )
        # Up to a mail's body each of login and envelope may take the envelope timeout.
        lease = 2 * settings.envelope_timeout_seconds + settings.mail_timeout_seconds + 60
        held_digests = HeldDigests(pool, mailer, identities, lease_seconds=lease)
        digest_store = DigestStore(
            pool,
            uuid4(),
            identities.of,
            collect_seconds=settings.alert_burst_seconds,
            claim_seconds=lease,
            sending_seconds=settings.lease_seconds,
        )
        alert_digests = AlertDigests(
            digest_store,
            mailer,
            publisher,
            identities,
            consumer.stopping,
            recent,
            drain_seconds=settings.mail_timeout_seconds + 1,
        )
        audit = settings.audit
        witness_mails = WitnessMails(
            pool,
            mailer,
            audit.addresses,
            audit.witness_schedule,
            settings.from_email,
            settings.sender_name,
            lease_seconds=lease * max(1, len(audit.addresses)),
        )
        yield Stage(
            handler,
            reconciler,
            jobs={
                **({"witness mails": witness_mails.run} if audit.witnesses else {}),
                "sites file": watching,
                "templates": templates.run,
                "canaries": canaries.queue.run,
                "held digests": held_digests.run,
                "alert digests": alert_digests.run,
                "recent outcomes": recent.run,
            },
            drain=alert_digests.drain,
        )
