"""The references of the gateway: common alternatives. Each is one uvicorn worker.

modelled    FastAPI and our model, no publishing
bare        a Starlette route: pydantic's validation from the bytes, the same publish awaited
inserting   FastAPI and our model, a lead row and an audit row INSERTed in one transaction
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
from aiokafka import AIOKafkaProducer
from fastapi import FastAPI
from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from uuid_utils.compat import uuid7

from contracts.leads import LeadSubmission

INSERT_LEAD = """
    INSERT INTO lead_inbox (id, request_id, site, email, service, status, name, message, extra, body_sha256,
                            created_at_utc)
    VALUES ($1, $2, 'default', $3, $4, 'received', $5, $6, '{}', $7, $8)"""
INSERT_ENTRY = """
    INSERT INTO audit_log (event_id, event, actor, status_code, details_json, lead_id, request_id,
                           created_at_utc)
    VALUES ($1, 'lead.received', 'default', 201, '{}', $2, $3, $4)"""


def _answer(lead_id: UUID) -> dict[str, Any]:
    return {"leadId": lead_id, "timestamp": datetime.now(UTC), "status": "received"}


def modelled() -> FastAPI:
    app = FastAPI()

    @app.post("/inbound/leads", status_code=201)
    async def submit(_: LeadSubmission) -> dict[str, Any]:
        return _answer(uuid7())

    app.add_api_route("/readyz", lambda: "ready")
    return app


def bare() -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AIOKafkaProducer(
            bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"],
            acks="all",
            enable_idempotence=True,
            linger_ms=2,
            max_batch_size=262_144,
        ) as producer:
            app.state.producer = producer
            yield

    async def submit(request: Request) -> Response:
        body = await request.body()
        LeadSubmission.model_validate_json(body)
        lead_id = uuid7()
        topic = os.environ["KAFKA_TOPIC_PREFIX"] + "leads.received.v1"
        await request.app.state.producer.send_and_wait(topic, key=str(lead_id).encode(), value=body)
        return Response(to_json(_answer(lead_id)), 201, media_type="application/json")

    async def ready(_: Request) -> Response:
        return PlainTextResponse("ready")

    routes = [Route("/inbound/leads", submit, methods=["POST"]), Route("/readyz", ready)]
    return Starlette(routes=routes, lifespan=lifespan)


def inserting() -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(os.environ["DATABASE_URL"], max_size=10) as pool:
            app.state.pool = pool
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/inbound/leads", status_code=201)
    async def submit(lead: LeadSubmission, request: Request) -> dict[str, Any]:
        lead_id, now = uuid7(), datetime.now(UTC)
        async with request.app.state.pool.acquire() as db, db.transaction():
            await db.execute(
                INSERT_LEAD,
                lead_id,
                lead_id.hex,
                lead.email,
                lead.service,
                lead.name,
                lead.message,
                "0" * 64,
                now,
            )
            await db.execute(INSERT_ENTRY, uuid7(), lead_id, lead_id.hex, now)
        return _answer(lead_id)

    app.add_api_route("/readyz", lambda: "ready")
    return app
