"""The Apps Script of docs/form-builders.md in Node.js, with stubs of Google's objects and a real gateway."""

import asyncio
import re
from pathlib import Path

from contracts import topics
from contracts.leads import LeadReceived
from runtime.settings import Kafka
from tests.support.factories import records_of
from tests.support.services.processes import ROOT, processes
from tests.support.wait import eventually

HOOK_KEY = "a-secret-of-the-hook-0123456789abcdef"
ADDRESS = "https://leads.example/inbound/hooks/THE_KEY"
# Google's objects, as far as the script uses them. Google's fetch throws on a status above 399.
GOOGLE = """
const items = [["Your name", "TEXT", "Ada"], ["How can we help?", "PARAGRAPH_TEXT", "Line 1\\nLine 2"]];
const item = ([title, type, answer]) => ({
  getItem: () => ({ getTitle: () => title, getType: () => type }), getResponse: () => answer,
});
const submitted = new Date();
const FormApp = { getActiveForm: () => ({ getTitle: () => "Contact" }) };
const UrlFetchApp = { fetch: async (url, { method, contentType, payload }) => {
  const answer = await fetch(url, { method, body: payload, headers: { "content-type": contentType } });
  if (!answer.ok) throw new Error(String(answer.status));
  console.log(answer.status);
} };
const response = {
  getItemResponses: () => items.map(item), getRespondentEmail: () => "ada@example.com", getId: () => "r1",
  getTimestamp: () => submitted,
};
for (let n = 0; n < 2; n += 1) send({ response }); // a trigger may run twice
"""


async def test_script_for_google_forms_posts_one_lead(kafka: Kafka, tmp_path: Path) -> None:
    page = (ROOT / "docs/form-builders.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"^```js\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert ADDRESS in script
    sites = tmp_path / "sites.toml"
    sites.write_text('[sites.studio]\nhook_keys = ["env:STUDIO_HOOK_KEY"]\n', encoding="utf-8")
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
        "FASTCORE_SITE_INGEST_TOKEN": "",
        "FASTCORE_SITES_FILE": str(sites),
        "STUDIO_HOOK_KEY": HOOK_KEY,
        "DEBUG": "false",
    }
    with processes(tmp_path, environment, "ingest") as services:
        await services["ingest"].ready()
        address = f"{services['ingest'].url}/inbound/hooks/{HOOK_KEY}"
        node = await asyncio.create_subprocess_exec(
            "node", "-e", script.replace(ADDRESS, address) + GOOGLE, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await asyncio.wait_for(node.communicate(), 60)
        assert (node.returncode, said.split()) == (0, [b"200", b"200"])
        records = await eventually(lambda: records_of(kafka, topics.RECEIVED.name), what="a lead")
    leads = [LeadReceived.model_validate_json(record.value) for record in records]
    assert len({lead.lead_id for lead in leads}) == 1
    assert (leads[0].name, leads[0].email, leads[0].message) == ("Ada", "ada@example.com", "Line 1\nLine 2")
    assert leads[0].site == "studio"
