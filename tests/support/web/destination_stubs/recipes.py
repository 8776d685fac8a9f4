"""The recipes of docs/recipes.md, read from the page, each with the contract of its service."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.web.destination_stubs import automation, chat, crm
from tests.support.web.destination_stubs.server import Contract
from tests.support.web.webhook_receiver import SECRET

PAGE: Final = (Path(__file__).parents[4] / "docs/recipes.md").read_text(encoding="utf-8")
ZOHO_FILE: Final = "/run/secrets/zoho-authorization"


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def _tables() -> dict[str, str]:
    """Return the text of each destination, by its name."""
    tables = [
        "[[destinations]]" + text
        for block in blocks("toml")
        for text in block.split("[[destinations]]")
        if text.strip()
    ]
    return {table.split('name = "')[1].split('"')[0]: table for table in tables}


TABLES: Final = _tables()
SHEET_SCRIPT, N8N_SCRIPT, ZAPIER_SCRIPT = blocks("js")


@dataclass(frozen=True)
class Recipe:
    """A service of the page. `path` replaces the path of an address that the page takes from a variable.

    `variables` are the values of the other variables. `silent` means that the service answers 2xx to what it
    refuses, so that only `Stub.accepted` shows the refusal.
    """

    contract: Contract
    path: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    silent: bool = False


def recipes() -> dict[str, Recipe]:
    """Return the recipes by the name of their destination, each with a contract of its own."""
    hubspot = {"HUBSPOT_AUTHORIZATION": crm.HUBSPOT_TOKEN}
    return {
        "hubspot-form": Recipe(crm.hubspot_form, variables=hubspot),
        "hubspot-contact": Recipe(crm.hubspot_contact, variables=hubspot),
        "pipedrive": Recipe(crm.pipedrive, variables={"PIPEDRIVE_TOKEN": crm.PIPEDRIVE_TOKEN}),
        "salesforce": Recipe(crm.salesforce, silent=True),
        "zoho": Recipe(crm.zoho),
        "espocrm": Recipe(crm.espocrm, f"/api/v1/LeadCapture/{crm.ESPOCRM_KEY}"),
        "twenty": Recipe(crm.twenty, variables={"TWENTY_AUTHORIZATION": crm.TWENTY_TOKEN}),
        "sheet": Recipe(
            automation.google_sheet(SHEET_SCRIPT), f"/macros/s/ID/exec?key={automation.SHEET_KEY}"
        ),
        "slack": Recipe(chat.slack, "/services/T000/B000/key"),
        "teams": Recipe(chat.teams, "/workflows/1/triggers/manual/paths/invoke?sig=of-the-tests"),
        "discord": Recipe(chat.discord, "/api/webhooks/1/token"),
        "mattermost": Recipe(chat.mattermost, "/hooks/key"),
        "n8n": Recipe(
            automation.n8n(N8N_SCRIPT.replace("THE_SECRET", SECRET)),
            "/webhook/leads",
            {"N8N_SECRET": SECRET},
            silent=True,
        ),
        "zapier": Recipe(
            automation.zapier(ZAPIER_SCRIPT.replace("THE_SECRET", SECRET)),
            "/hooks/catch/1/2/",
            {"ZAPIER_SECRET": SECRET},
            silent=True,
        ),
        "make": Recipe(automation.make, "/hook", {"MAKE_KEY": automation.MAKE_KEY}),
    }


def table_for_stub(name: str, recipe: Recipe, origin: str, zoho_file: Path) -> str:
    """Return the page's text of a destination, with only its address and its file changed."""

    def readdress(found: re.Match[str]) -> str:
        path = recipe.path or re.sub(r"^https://[^/]+", "", found[1])
        return f'url = "{origin}{path}"\nallow_private = true'

    table = re.sub(r'^url = "([^"]*)"', readdress, TABLES[name], flags=re.MULTILINE)
    return table.replace(ZOHO_FILE, str(zoho_file))
