"""The chart's settings for token endpoints and the mailbox of bounces."""

from tests.contract.test_chart import component, containers, environment, of_kind, pod, rendered, services


def reachable_ports(case: str, service: str) -> set[int]:
    [policy] = [each for each in of_kind(rendered(case), "NetworkPolicy") if component(each) == service]
    return {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}


def test_a_token_endpoint_and_imap_are_reachable_only_if_needed() -> None:
    for case, reaches in (("minimal", False), ("full", True)):
        assert (443 in reachable_ports(case, "notifier")) is reaches, case
        assert {port in reachable_ports(case, "flusher") for port in (443, 993)} == {reaches}, case


def test_the_mailbox_of_bounces_gets_the_login_of_smtp() -> None:
    both = services(rendered("full"))
    notifier, flusher = (environment(next(containers(both[name]))) for name in ("notifier", "flusher"))
    shared = {name for name in notifier if name.startswith(("SMTP_OAUTH_", "SMTP_USER", "SMTP_PASSWORD"))}
    assert {name: flusher.get(name) for name in shared} == {name: notifier[name] for name in shared}
    [mail] = [each["secret"] for each in pod(both["flusher"])["volumes"] if each["name"] == "mail"]
    assert mail["items"] == [{"key": "service-account.json", "path": "service-account.json"}]
    assert "SMTP_HOST" not in flusher
