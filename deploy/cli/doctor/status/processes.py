"""Reads the live state of the services and of the gateways over HTTP."""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

from deploy.cli.doctor.check_result import CheckResult, fail, ok, warn
from deploy.cli.doctor.dependencies import WARNINGS
from deploy.cli.doctor.status.texts import duration, since_text, without_addresses
from services.admin.monitoring.service_clients import open_service_clients
from services.admin.schemas.system import GatewaySpool, ServiceProcess
from services.admin.settings import Settings as Admin

_RUNBOOKS: Final = "docs/runbooks/"
# The runbook for a part that fails. Others have a page in `WARNINGS`, or are a dependency of the service.
_PARTS: Final = {
    "intake": "SpoolFilling.md",
    "sites_file": "SitesFileInvalid.md",
    "smtp": "MailFailures.md",
}
_SERVICE_DOWN: Final = "ServiceDown.md"
# The codes of refusals that are the fault of the gateway, not of the request.
_OURS: Final = ("unavailable", "internal-error")


async def read_processes(admin: Admin) -> list[CheckResult]:
    """Return the state of each service and each gateway: what fails, why and since when."""
    async with open_service_clients(admin.gateway_urls, admin.service_urls) as clients:
        processes, gateways, refused = await asyncio.gather(
            clients.read_processes(), clients.read_gateways(), clients.count_refused_requests()
        )
    results = list[CheckResult]()
    if not processes:
        results.append(warn("services", "not read", "set FASTCORE_ADMIN_SERVICE_URLS: name=url,..."))
    for process in processes:
        results += _check_process(process)
    if not gateways:
        results.append(warn("gateways", "not read", "set FASTCORE_ADMIN_GATEWAY_URLS: url,..."))
    results += map(_check_gateway, gateways)
    results += [_describe_refused(where, codes) for where, codes in refused.items() if codes]
    return results


def _check_process(process: ServiceProcess) -> Iterator[CheckResult]:
    name = f"{process.service} ({process.address})" if process.address else process.service
    found = False
    for part, state in (process.health.parts or {}).items():
        if not isinstance(state, dict) or (state.get("ok") and not state.get("reason")):
            continue
        found = True
        reason = without_addresses(str(state.get("reason")))
        seen = f"{name}: {part}: {reason}{since_text(state.get('since'))}"
        is_breaker = "resume the stage" in reason  # a consumer that its stage's breaker has paused
        runbook = "BreakerOpen.md" if is_breaker else _PARTS.get(part)
        todo = _RUNBOOKS + runbook if runbook else WARNINGS.get(part, _RUNBOOKS + _SERVICE_DOWN)
        yield warn("services", seen, todo) if state.get("ok") else fail("services", seen, todo)
    if found:
        return
    if process.health.state == "up":
        yield ok("services", f"{name}: ready")
    else:
        yield fail("services", f"{name}: {process.health.reason or 'down'}", _RUNBOOKS + _SERVICE_DOWN)


def _check_gateway(gateway: GatewaySpool) -> CheckResult:
    where = f"{gateway.url} ({gateway.address})" if gateway.address else gateway.url
    if gateway.status is None:
        todo = "start the gateway: a spool that cannot be read may hold leads"
        return fail("gateways", f"{where}: {gateway.reason}", todo)
    status, spool = gateway.status, _object(gateway.status.get("spool"))
    kafka = _object(gateway.status.get("kafka")) or {"ok": False, "reason": "not known"}
    seen = f"{where}: breaker {status.get('breaker')}, {_describe_spool(spool)}"
    takes_leads = bool(kafka.get("ok")) and status.get("breaker") == "closed"
    if takes_leads and not spool.get("depth") and not spool.get("damaged_files"):
        return ok("gateways", seen)
    if not kafka.get("ok"):
        seen += f"; Kafka: {kafka.get('reason')}{since_text(kafka.get('since'))}"
    return (warn if takes_leads else fail)("gateways", seen, f"{_RUNBOOKS}SpoolFilling.md")


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _describe_spool(spool: dict[str, Any]) -> str:
    leads = f"{spool.get('depth')} leads in the spool ({spool.get('bytes')} bytes)"
    if isinstance(oldest := spool.get("oldest_age_seconds"), (int, float)):
        leads += f", the oldest for {duration(oldest)}"
    return f"{leads}, {spool.get('damaged_files')} damaged files"


def _describe_refused(where: str, codes: dict[str, int]) -> CheckResult:
    counts = ", ".join(f"{code} {count}" for code, count in sorted(codes.items(), key=lambda each: -each[1]))
    seen = f"{where} has refused since its start: {counts}"
    if any(codes.get(code) for code in _OURS):
        return warn("requests", seen, f"{_RUNBOOKS}GatewayErrorRatio.md")
    return ok("requests", seen)
