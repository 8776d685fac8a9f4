"""The pages for people do not drift: what they show parses, what they name exists, their links resolve."""

import importlib.util
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from prometheus_client import REGISTRY

from contracts.leads import LeadSubmission
from contracts.reasons import SpamReason
from deploy.embedded.environment import EXAMPLE_TOKENS
from deploy.embedded.settings import SERVICES, Stack
from deploy.generate.docs import env_example, openapi

ROOT = Path(__file__).parents[2]
PAGES = {
    page: page.read_text(encoding="utf-8")
    for folder in (ROOT, ROOT / "docs", ROOT / "docs/decisions")
    for page in sorted(folder.glob("*.md"))
}
README = PAGES[ROOT / "README.md"]
POSTING = PAGES[ROOT / "docs/posting-leads.md"]
ADMIN_API = PAGES[ROOT / "docs/admin-api.md"]
EMAIL = PAGES[ROOT / "docs/email.md"]
SETTINGS = PAGES[ROOT / "docs/settings.md"]
# Routes that no OpenAPI document contains: the documents themselves, and routes for our own services.
UNDESCRIBED = {
    ("GET", "/docs"), ("GET", "/openapi.json"), ("GET", "/admin/docs"), ("GET", "/internal/status"),
    ("GET", "/admin/canary/public/{}"),  # for anybody, without a token
}  # fmt: skip


def blocks(text: str, language: str = "") -> list[str]:
    """The fenced blocks of one language; a backslash at a line's end joins it with the next."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [body.replace("\\\n", " ") for name, body in found if name == language]


def curls(text: str) -> Iterator[list[str]]:
    for block in blocks(text):
        for line in block.splitlines():
            if line.startswith("curl "):
                yield shlex.split(line)


@pytest.fixture(scope="module")
def operations() -> dict[tuple[str, str], dict[str, Any]]:
    """Every operation of the OpenAPI documents; the names of path parameters do not count."""
    return {
        (method.upper(), re.sub(r"{\w+}", "{}", path)): operation
        for service in ("ingest", "admin")
        for path, methods in json.loads(openapi(service))["paths"].items()
        for method, operation in methods.items()
    }


def test_the_complete_example_is_a_lead_and_shows_every_field() -> None:
    body = (ROOT / "lead.json").read_bytes()
    submission = LeadSubmission.model_validate_json(body)
    assert submission.source is not None
    assert submission.meta is not None
    for model, shown in (
        (submission.source, json.loads(body)["source"]),
        (submission.meta, json.loads(body)["meta"]),
    ):
        assert set(shown) == set(type(model).model_fields)
    # Without request_id: with it every post of the file would be one and the same lead.
    assert set(json.loads(body)) - set(submission.extra) == set(LeadSubmission.model_fields) - {"request_id"}
    assert submission.extra, "an unknown field shows that these are kept"


def test_every_field_of_a_lead_is_described() -> None:
    table = POSTING[POSTING.index("| field | |") : POSTING.index("## Idempotency keys")]
    assert set(LeadSubmission.model_fields) <= set(re.findall(r"`(\w+)`", table))


def test_every_body_in_a_curl_line_is_a_lead() -> None:
    bodies = [words[words.index("-d") + 1] for words in curls(README + POSTING) if "-d" in words]
    assert len(bodies) == 4
    for body in bodies:
        text = (ROOT / body[1:]).read_text(encoding="utf-8") if body.startswith("@") else body
        LeadSubmission.model_validate_json(text)


def test_the_answer_that_the_readme_shows_has_the_fields_of_a_201() -> None:
    (answer,) = (json.loads(block) for block in blocks(README, "json"))
    assert set(answer) == set(
        json.loads(openapi("ingest"))["components"]["schemas"]["LeadAccepted"]["required"]
    )


def test_curl_lines_name_routes_parameters_and_tokens_that_exist(
    operations: dict[tuple[str, str], dict[str, Any]],
) -> None:
    lines = list(curls(README + POSTING + ADMIN_API))
    assert len(lines) > 5
    for words in lines:
        method = words[words.index("-X") + 1] if "-X" in words else "GET"
        url = urlsplit(next(word for word in words if word.startswith("http")))
        assert url.netloc == f"localhost:{Stack.model_fields['edge_port'].default}"
        operation = operations[method, url.path.replace("$LEAD_ID", "{}")]
        known = {each["name"] for each in operation.get("parameters", [])}
        assert set(parse_qs(url.query)) <= known, words
        variable = "FASTCORE_ADMIN_TOKEN" if url.path.startswith("/admin") else "FASTCORE_SITE_INGEST_TOKEN"
        assert f"Authorization: Bearer {EXAMPLE_TOKENS[variable]}" in words


def test_every_route_that_a_page_names_exists(operations: dict[tuple[str, str], dict[str, Any]]) -> None:
    named = {
        (method, re.sub(r"{\w+}", "{}", path.rstrip(".")))
        for text in PAGES.values()
        for method, path in re.findall(r"\b(GET|POST|PATCH|DELETE) (/[\w/{}.-]+)", text)
    }
    assert named - set(operations) - UNDESCRIBED == set()


def test_every_route_is_described(operations: dict[tuple[str, str], dict[str, Any]]) -> None:
    named = {
        (method, re.sub(r"{\w+}", "{}", path))
        for method, path in re.findall(
            r"`(GET|POST|PATCH|DELETE) (/[\w/{}.-]+)`", README + POSTING + ADMIN_API + EMAIL
        )
    }
    assert set(operations) <= named


def test_every_variable_that_a_page_names_exists() -> None:
    known = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", env_example(), re.MULTILINE))
    known |= {f"FASTCORE_EMBEDDED_{name}".upper() for name in Stack.model_fields} | {
        "FASTCORE_TEST_PARTS",
        "FASTCORE_CHROMIUM",
        "FASTCORE_HELM",
    }
    for path in (ROOT / "docker-compose.yml", *(ROOT / "deploy/compose").glob("**/*.*")):
        known |= set(re.findall(r"\$\{([A-Z][A-Z0-9_]+)", path.read_text(encoding="utf-8")))
    kit = (ROOT / "site/kit/src/settings.ts").read_text(encoding="utf-8")
    known |= set(re.findall(r"\bFASTCORE_[A-Z_]+\b", kit))
    known |= {f"{name}_FILE" for name in known}  # runtime.settings.load
    named = set[str]()
    for text in PAGES.values():
        # FASTCORE_<SECTION>_<FIELD> and the like name none.
        named |= set(re.findall(r"\b(?:FASTCORE|KAFKA|SMTP)_[A-Z0-9_]*[A-Z0-9]\b", text))
        named |= set(re.findall(r"^([A-Z][A-Z0-9_]+)=", "\n".join(blocks(text)), re.MULTILINE))
    assert named - known == set()


def test_every_make_target_and_module_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    code = "\n".join(
        part for text in PAGES.values() for part in [*blocks(text), *re.findall(r"`([^`\n]+)`", text)]
    )
    assert set(re.findall(r"\bmake (?:[A-Z]+=\S+ )?([a-z-]+)", code)) - targets == set()
    assert [
        each for each in re.findall(r"python -m ([\w.]+)", code) if not importlib.util.find_spec(each)
    ] == []
    assert set(re.findall(r"python -m services (\w+)", code)) <= {*SERVICES, "all"}


def test_every_metric_that_a_page_names_exists() -> None:
    known = {name for family in REGISTRY.collect() for name in (family.name, f"{family.name}_total")}
    named = {each for text in PAGES.values() for each in re.findall(r"`(fastcore_[a-z_]*[a-z])", text)}
    assert named - known == set()


def test_every_link_resolves() -> None:
    broken = []
    for page, text in PAGES.items():
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            path, _, anchor = target.partition("#")
            linked = (page.parent / path).resolve() if path else page
            if not target.startswith("http") and not (linked.exists() and has_title(linked, anchor)):
                broken.append(f"{page.name}: {target}")
    assert broken == []


def has_title(page: Path, anchor: str) -> bool:
    """Whether a page has the title that an anchor names, as GitHub makes anchors of titles."""
    if not anchor:
        return True
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return anchor in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_file_that_a_page_names_exists() -> None:
    folders = "contracts|runtime|services|deploy|tests|docs"
    missing = [
        f"{page.name}: {name}"
        for page, text in PAGES.items()
        for name in re.findall(rf"`((?:{folders})/[\w/.-]+)`", text)
        if "NNNN" not in name and not (ROOT / name).exists()
    ]
    assert missing == []


def test_the_documented_ports_are_the_ones_that_make_up_uses() -> None:
    sentence = re.search(r"`make up` listens on (.+?127\.0\.0\.1 only)", SETTINGS, re.DOTALL)
    assert sentence
    named = set(map(int, re.findall(r"\b\d{4,5}\b", sentence.group(1))))
    fields = {name: field.default for name, field in Stack.model_fields.items() if name.endswith("_port")}
    first, last = fields["ingest_port"], fields["admin_port"]
    assert named | set(range(first, last + 1)) == set(fields.values())


def test_troubleshooting_explains_every_reason_for_spam() -> None:
    text = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    assert {f"`{reason}`" for reason in SpamReason} <= set(re.findall(r"`\w+`", text))


def test_decisions_are_numbered_dated_and_complete() -> None:
    pages = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert [page.name[:4] for page in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert re.match(rf"# {page.name[:4]}: .+\n\n\d{{4}}-\d{{2}}\n", text), page.name
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) < 200


def test_the_index_lists_every_page_of_the_documentation() -> None:
    listed = set(re.findall(r"\]\(([\w./-]+)\)", PAGES[ROOT / "docs/README.md"]))
    assert {page.name for page in PAGES if page.parent == ROOT / "docs"} - {"README.md"} <= listed
