"""The site kit and the gateway agree: no visitor is thanked for a lead that gets a 422 later, and no address
that the gateway accepts is refused at the form."""

import json
import random
import subprocess
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from contracts.email import Email
from contracts.leads import LeadSubmission
from tests.support.services.processes import ROOT
from tests.support.web.site import build

KIT = ROOT / "site" / "kit" / "dist"
# Reads a JSON list of fields as a form posts them; writes what the kit would send, or null where it refuses.
PREPARE = """
import { prepare } from "./submission.js";
import { readPostedForm } from "./posted-form.js";
let input = "";
for await (const piece of process.stdin) input += piece;
const consent = { text: "Yes", version: "1", required: false };
const found = [];
for (const [fields, headers] of JSON.parse(input)) {
  const request = new Request("http://site.example/", {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(fields),
  });
  const form = await readPostedForm(request).catch(() => undefined);
  const visit = { address: "192.0.2.7", ...headers, key: null, files: form?.files ?? [] };
  const made = form && prepare(form.fields, visit, consent, new Date(), "random");
  found.push(made && !made.violations.length ? JSON.stringify(made.body) : null);
}
process.stdout.write(JSON.stringify(found));
"""
GOOD = {"name": "Ada", "email": "ada@example.com", "service": "Website", "message": "Hello"}
FIELDS = [
    *GOOD, "phone", "company", "consent", "locale", "source", "meta", "submitted_at", "request_id",
    "page_url", "referrer", "utm_campaign", "consent_version", "form_rendered_at", "homepage_url",
    "files_not_sent", "extra", "h-captcha-response", "na\0me", "half \ud83d",
]  # fmt: skip
TEXTS = [
    "", " ", "\0", "\x01", "\x1f", "\x85", "\ufeff", "\u2028", "\u200d", "\ud83d", "x\ud83d", "👋",
    "a" * 199 + "👋", "👋" * 200, "x" * 201, "y" * 5000, "z" * 70_000, "a\r\nb", "on",
    "https://a.example/?utm_term=" + "%F0%9F%91%8B" * 120, "2026-01-01T00:00:00Z",
    "-271821-04-20T00:00:00Z", "9999-12-31T23:59:59Z", "1e999",
]  # fmt: skip
ADDRESSES = [
    "ada@example.invalid", "ada@localhost", "ada@a.local", "ada@x.test", ".ada@example.com",
    "a..b@example.com", "ada.@example.com", "ada@-a.example", "ada@a-.example", "ada@a..b.example",
    "ada@1.2.3.4", "ada@[127.0.0.1]", "ada@example.com.", '"a b"@example.com', "a" * 65 + "@example.com",
    "ada@" + "a" * 64 + ".com", "ada@" + "a." * 130 + "com", "ada@example.c", "ada@example.1a",
    "ada@example.a1", "grüße@müller.example", "用户@例子.中国", "ada@👋.example", "a\u0301da@example.com",
    "\u0301ada@example.com", "ada@exa\u00admple.com", "ada@ex_ample.com", "ada@xn--a.example",
    "a(b)@example.com", "ada\u00a0@example.com", "ada@example。com", "o'hara+x@mail.example.co.uk",
    "ada@EXAMPLE.COM", "ada@ab--cd.example", "ada@xn--mller-kva.example", "ﬁ@example.com",
    "ada@example.corp", "ada@faß.example", "ada\u200d@example.com", "ada@a\u0301.example",
    "ada@\u0301a.example", "\u0663@example.com", "ada@\u0663.example",
]  # fmt: skip
# Both accept these; the kit refused the first five.
GOOD_ADDRESSES = [
    "o\u2019brien@example.com", "n°1@example.com", "info@paral·lel.cat", "user@日本語。jp",
    "a@ex\uff0eample.com", "user@例｡jp", "grüße@müller.example", "用户@例子.中国",
    "o'hara+x@mail.example.co.uk", "ada@EXAMPLE.COM", "a" * 65 + "@example.com", "ada@example.1a",
    "ada@テ・スト.jp",
]  # fmt: skip
# What addresses are made of below: ASCII, letters, marks, numbers, punctuation and symbols, and each dot.
LOCAL_PIECES = [*"aZ9.!#'*/=?^`{|}~_+-(,;:<\"", *"éßŁ漢ñ٣½Ⅳ\u2019°·€™«¿、👋\u0301\u037e\u00ad\u200d"]
DOMAIN_PIECES = [*"alZ9-.._", *"\uff0e。｡éß漢語カ・·٣½™\uff41👋\u0301\u05d0\u05f3\u2024\u00ad"]
GATEWAY: TypeAdapter[str] = TypeAdapter(Email)
JUDGE = """
import { isEmail } from "./email.js";
let input = "";
for await (const piece of process.stdin) input += piece;
process.stdout.write(JSON.stringify(JSON.parse(input).map(isEmail)));
"""
JSON = [7, 1e308, True, False, None, [], {}, ["a", "b"], {"a": [{"b": "\0"}]}, [[[["\ud83d"]]]], {"": 1}]


def submissions() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    chance = random.Random(13)
    quiet: dict[str, str | None] = {"userAgent": None, "language": None, "referer": None}
    cases: list[tuple[dict[str, Any], dict[str, Any]]]
    cases = [(GOOD | {"email": each}, quiet) for each in [*ADDRESSES, *GOOD_ADDRESSES]]
    cases += [(GOOD | {name: each}, quiet) for name in FIELDS for each in [*TEXTS, *JSON]]
    for _ in range(400):
        some = chance.sample(FIELDS, 4)
        cases.append(
            (
                GOOD | {name: chance.choice([*TEXTS, *JSON]) for name in some},
                {name: chance.choice([*TEXTS, None]) for name in quiet},
            )
        )
        local, domain = (
            chance.choice(ADDRESSES).rpartition("@")[0],
            chance.choice(ADDRESSES).rpartition("@")[2],
        )
        cases.append((GOOD | {"email": f"{local}@{domain}"}, quiet))
    return cases


def run_in_kit(script: str, given: Any) -> Any:
    """Run a script beside the kit's modules with JSON on its input; return the JSON that it writes."""
    build("site/kit/dist/index.js")
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", script],
        cwd=KIT, input=json.dumps(given), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def prepared() -> list[tuple[dict[str, Any], str | None]]:
    cases = submissions()
    return list(zip((fields for fields, _ in cases), run_in_kit(PREPARE, cases), strict=True))


def addresses() -> list[str]:
    """Return the listed addresses and 4,000 made of pieces that are near the rules' limits."""
    chance = random.Random(17)
    found = [*ADDRESSES, *GOOD_ADDRESSES]
    for _ in range(4000):
        local = "".join(chance.choices(LOCAL_PIECES, k=chance.randint(1, 4)))
        domain = "".join(chance.choices(DOMAIN_PIECES, k=chance.randint(1, 4)))
        found.append(f"{local}@{domain}{chance.choice(['.example', '.com', '。jp', ''])}")
    for length in (61, 62, 63, 64, 65, 120, 121, 240, 241, 242, 243, 250):
        found += [f"{each * length}@x.com" for each in "aé👋"] + [f"a@{each * length}.com" for each in "aü"]
    return found


def is_accepted(address: str) -> bool:
    """Return whether the gateway accepts an address."""
    try:
        GATEWAY.validate_python(address)
    except ValidationError:
        return False
    return True


def test_regression_the_kit_and_the_gateway_accept_the_same_addresses() -> None:
    tried = addresses()
    differ = [
        (address, "kit" if kit else "gateway")
        for address, kit in zip(tried, run_in_kit(JUDGE, tried), strict=True)
        if kit != is_accepted(address)
    ]
    assert not differ, "\n".join(f"only the {by} accepts {address!a}" for address, by in differ[:30])
    assert sum(map(is_accepted, tried)) > 300


def test_what_the_kit_accepts_the_gateway_accepts(prepared: list[tuple[dict[str, Any], str | None]]) -> None:
    refused = []
    for fields, body in prepared:
        try:
            if body is not None:
                LeadSubmission.model_validate_json(body.encode("utf-8", "surrogatepass"))
        except ValidationError as error:
            changed = {name: each for name, each in fields.items() if GOOD.get(name) != each}
            refused.append((str(changed)[:100], [item["loc"] for item in error.errors()]))
    assert not refused, "\n".join(map(str, refused))
    assert sum(body is not None for _, body in prepared) > 600


def test_a_good_address_is_accepted_by_both(prepared: list[tuple[dict[str, Any], str | None]]) -> None:
    taken = {fields["email"] for fields, body in prepared if body is not None}
    for address in GOOD_ADDRESSES:
        assert address in taken, address
