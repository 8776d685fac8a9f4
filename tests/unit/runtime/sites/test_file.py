"""The sites file: what it may hold, and how each mistake is reported."""

from hashlib import sha256
from pathlib import Path

import pytest

from runtime.sites.file import MAX_BYTES, SitesFileError, load_sites, parse_sites, read_sites
from runtime.sites.mail import Sender

TOKEN = "a-token-of-a-website-1234567890"
COMPLETE = f"""
[defaults]
locale = "en"
alert_to = ["office@agency.example"]

[sites.studio]
name = "Studio Nord"
tokens = ["env:STUDIO_TOKEN", "sha256:{"9f" * 32}"]
form_key = "studio-4k7w9q2m"
hook_keys = ["env:STUDIO_HOOK_KEY"]
origins = ["https://Studio.example/", "http://127.0.0.1:8080"]
thanks_url = "https://studio.example/thanks"
locale = "de"
from = "Studio Nord <hello@studio.example>"
reply_to = "office@studio.example"
fields = {{ name = ["your-name", "first_name last_name"] }}
default_service = "Contact form"

[sites.plain]
"""


def test_a_site_has_its_own_keys_and_the_defaults() -> None:
    sites = parse_sites(COMPLETE.encode())
    studio, plain = sites.get("studio"), sites.get("plain")
    assert studio.origins == ("https://studio.example", "http://127.0.0.1:8080")
    assert studio.sender == Sender("hello@studio.example", "Studio Nord")
    assert (studio.reply_to, plain.reply_to) == ("office@studio.example", None)
    assert studio.fields == {"name": ("your-name", "first_name last_name")}
    assert (studio.locale, plain.locale) == ("de", "en")
    assert studio.alert_to == plain.alert_to == ("office@agency.example",)
    assert sites.digest == sha256(COMPLETE.encode()).hexdigest()
    assert sites.get("unknown").tokens == ()


def test_regression_each_limit_of_a_site_has_a_default_of_its_own() -> None:
    text = "[defaults.limits]\nleads_per_ip_per_hour = 100\n[sites.x.limits]\nleads_per_email_per_hour = 50\n"
    limits = parse_sites(text.encode()).get("x").limits
    assert (limits.leads_per_ip_per_hour, limits.leads_per_email_per_hour) == (100, 50)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[sites.x", "is not TOML: "),
        ("\xff", "is not UTF-8"),
        ("a = " + "[" * 5000, "is nested too deeply"),
        ("", "sites: names no site; give at least one table [sites.NAME]"),
        ("sites = 1", "defaults and sites: must be tables"),
        ("[sites]\nx = 1", "sites.x: must be a table"),
        (
            '[sites."a b"]',
            "sites: a site's name must have 1 to 100 letters, digits, dots, dashes or underscores",
        ),
        ("[sites.x]\n[sitess.y]", "sitess: is not a known key (did you mean sites?)"),
        ("[sites.x]\norigin = []", "sites.x.origin: is not a known key (did you mean origins?)"),
        ("[sites.x]\nsender = 'a@b.example'", "sites.x.sender: is not a known key"),
        ("[sites.x]\norigins = 'https://a.example'", 'sites.x.origins: must be a list, such as ["a", "b"]'),
        ("[sites.x]\norigins = ['a.example']", "sites.x.origins: value 1 must be an origin such as"),
        (
            "[sites.x]\norigins = ['https://a.example', 'https://a.example/page']",
            "sites.x.origins: value 2 must be an origin such as",
        ),
        (
            "[sites.x]\nsigning_secrets = { wix = 'env:A' }",
            "sites.x.signing_secrets: the key wix must be 'typeform', 'tally', 'webflow' or 'framer'",
        ),
        ("[sites.x]\n[[destinations]]\nurl = 'https://a.example'", "destinations (table 1).name: is missing"),
        ("[sites.x]\ncaptcha = 'altcha'", "sites.x.captcha: must be a table, such as { key = value }"),
        (
            "[sites.x.limits]\nleads_per_email_per_hour = -1",
            "sites.x.limits.leads_per_email_per_hour: must be at least 0",
        ),
        (
            "[sites.x.limits]\nleads_per_email_per_hour = 'ten'",
            "sites.x.limits.leads_per_email_per_hour: must be a whole number",
        ),
        ("[sites.x]\nretention_days = 0", "sites.x.retention_days: must be at least 1"),
        ("[defaults]\nretention_days = 36_501\n[sites.x]", "defaults.retention_days: must be at most 36500"),
        ("[sites.x]\nretention_days = 30.5", "sites.x.retention_days: must be a whole number"),
        ("[sites.x]\nretention_days = true", "sites.x.retention_days: must be a whole number"),
        ("[sites.x]\nretention_days = '730'", "sites.x.retention_days: must be a whole number"),
        ("[sites.x]\nlocale = 1", "sites.x.locale: must be text in quotes"),
        ("[sites.x]\nlocale = 'de_DE'", "sites.x.locale: must be a language tag such as en or de-AT"),
        ("[sites.x]\nfrom = 'Studio'", "sites.x.from: must be Name <name@example.com>"),
        ("[sites.x]\nfrom = 1", "sites.x.from: must be text in quotes"),
        ("[sites.x]\nalert_to = ['nobody']", "sites.x.alert_to: value 1 must be an email address"),
        ("[sites.x]\nreply_to = 'Office <a@b.example>'", "sites.x.reply_to: must be an email address"),
        ("[sites.x]\nalert_rules = ['a@b.example']", "sites.x.alert_rules: value 1 must be a table"),
        ("[[sites.x.alert_rules]]\nservice = 'Web'", "sites.x.alert_rules (table 1).to: is missing"),
        ("[[sites.x.alert_rules]]\nto = ['a@b.example']", "sites.x.alert_rules: value 1 needs service or"),
        (
            "[[sites.x.alert_rules]]\nlocale = 'de'\nto = []",
            "sites.x.alert_rules (table 1).to: must not be empty",
        ),
        (
            "[[sites.x.alert_rules]]\nlocale = 'de'\nto = ['nobody']",
            "sites.x.alert_rules (table 1).to: value 1 must be an email address",
        ),
        (
            "[[sites.x.alert_rules]]\nservise = 'Web'\nto = ['a@b.example']",
            "sites.x.alert_rules (table 1).servise: is not a known key",
        ),
        ("[sites.x]\nform_key = 'short'", "sites.x.form_key: must be 8 to 100 letters"),
        ("[sites.x]\nthanks_url = 'javascript:1'", "sites.x.thanks_url: must be a URL such as"),
        ("[sites.x]\nfields = 1", "sites.x.fields: must be a table"),
        (
            "[sites.x]\nfields = { nmae = ['your-name'] }",
            "sites.x.fields: the key nmae is not a field of a lead (did you mean name?)",
        ),
        (
            "[defaults]\nfields = { 'source.utm_sourse' = ['from'] }\n[sites.x]",
            "defaults.fields: the key source.utm_sourse is not a field of a lead (did you mean source.utm_so",
        ),
        (
            "[sites.x]\nfields = { colour = ['q7'] }",
            "sites.x.fields: the key colour is not a field of a lead; docs/forms.md has them",
        ),
        ("[defaults]\nlocale = '?'\n[sites.x]", "defaults.locale: must be a language tag"),
        (f"[sites.x]\ntokens = ['{TOKEN}']", "sites.x.tokens: value 1 must be env:VARIABLE or sha256:"),
    ],
)
def test_a_mistake_is_one_line_with_the_key_and_the_reason(text: str, message: str) -> None:
    with pytest.raises(SitesFileError) as raised:
        parse_sites(text.encode("latin-1"))
    reported = str(raised.value)
    assert reported.startswith(message)
    assert "\n" not in reported
    assert TOKEN not in reported


def test_regression_a_reply_to_makes_no_mail_need_smtputf8() -> None:
    with pytest.raises(SitesFileError, match=r"sites\.x\.reply_to: must have only ASCII characters"):
        parse_sites("[sites.x]\nreply_to = 'büro@studio.example'".encode())
    sites = parse_sites("[sites.x]\nreply_to = 'office@büro.example'".encode())
    assert sites.get("x").reply_to == "office@xn--bro-hoa.example"


def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(SitesFileError, match=r"sites\.x\.locale: .*; sites\.y\.origins"):
        parse_sites(b"[sites.x]\nlocale = 1\n[sites.y]\norigins = 1")


@pytest.mark.parametrize("key", ["tokens = ['env:A']", "hook_keys = ['env:A']", "form_key = 'form-key-1'"])
def test_two_sites_cannot_share_a_secret_or_a_form_key(key: str) -> None:
    with pytest.raises(SitesFileError, match=r"sites\.y\.\w+: the site x has the same value"):
        parse_sites(f"[sites.x]\n{key}\n[sites.y]\n{key}".encode())


def test_a_file_that_cannot_be_read_or_is_huge_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(SitesFileError, match=r"cannot be read \(No such file"):
        read_sites(tmp_path / "absent.toml")
    huge = tmp_path / "huge.toml"
    huge.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(SitesFileError, match="is larger than 1024 KiB"):
        read_sites(huge)


def test_a_service_exits_with_one_line_that_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "sites.toml"
    file.write_text("[sites.x]\nlocale = 1")
    with pytest.raises(SystemExit) as stopped:
        load_sites(file)
    expected = f"wrong sites file: {file}: sites.x.locale: must be text in quotes (docs/sites.md)"
    assert stopped.value.code == expected
    assert load_sites(None).by_name == {}
