"""The contracts of n8n, Zapier, Make and Google Sheets.

The scripts of docs/recipes.md run in Node.js, with stand-ins for the objects that these services give them.
"""

import json
import subprocess
from typing import Any, Final

from tests.support.web.destination_stubs.server import Answer, Call, Contract

MAKE_KEY: Final = "make-of-the-tests"
SHEET_KEY: Final = "sheet-of-the-tests"
NODE_SECONDS: Final = 30
_N8N: Final = """
const given = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const $input = { first: () => ({ json: { headers: given.headers }, binary: { data: {} } }) };
const helpers = { getBinaryDataBuffer: async (index, name) => {
  if (index !== 0 || name !== "data") throw new Error("There is no such binary data");
  return Buffer.from(given.body);
} };
(async function () { SCRIPT }).call({ helpers }).then(([item]) => console.log(JSON.stringify(item.json)));
"""
_ZAPIER: Final = """
const inputData = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
(async () => { SCRIPT })().then((output) => console.log(JSON.stringify(output)));
"""
_SHEET: Final = """
const given = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const rows = given.rows;
// A sheet takes a value with an apostrophe as text, and one that begins so as a formula.
const stored = (value) =>
  value.startsWith("'") ? value.slice(1) : /^[=+-]/.test(value) ? { formula: value } : value;
const finder = (text) => ({
  matchEntireCell: () => ({ findNext: () => (rows.some((row) => row[0] === text) ? {} : null) }),
});
const sheet = {
  getRange: (cells) => {
    if (cells !== "A:A") throw new Error("The stand-in has only A:A");
    return { createTextFinder: finder };
  },
  appendRow: (row) => rows.push(row.map(stored)),
};
let locked = 0;
const SpreadsheetApp = { getActive: () => ({ getSheets: () => [sheet] }), flush: () => {} };
const lock = { waitLock: () => { locked += 1; }, releaseLock: () => { locked -= 1; } };
const LockService = { getScriptLock: () => lock };
const PropertiesService = {
  getScriptProperties: () => ({ getProperty: (name) => (name === "KEY" ? given.key : null) }),
};
const HtmlService = { createHtmlOutput: (html) => ({ html }) };
SCRIPT
let html;
try {
  html = doPost({ parameter: given.parameter, postData: { contents: given.body } }).html;
} catch (error) {
  html = `<title>Error</title>${error} (line 1, file "Code")`;
}
console.log(JSON.stringify({ html, rows, locked }));
"""


def n8n(script: str) -> Contract:
    """n8n: an active workflow's Webhook node that responds immediately, and a Code node with `script`."""

    def contract(call: Call) -> Answer:
        if (call.method, call.path) != ("POST", "/webhook/leads"):
            name = call.path.removeprefix("/webhook/")
            message = f'The requested webhook "{call.method} {name}" is not registered.'
            hint = "The workflow must be active for a production URL to run successfully."
            return Answer(404, {"code": 404, "message": message, "hint": hint})
        output = _run_node(_N8N, script, {"headers": call.headers, "body": call.text})
        return Answer(200, {"message": "Workflow was started"}, output)

    return contract


def zapier(script: str) -> Contract:
    """Zapier: a Catch Raw Hook, whose answer is always 200, and a step of Code by Zapier with `script`."""

    def contract(call: Call) -> Answer:
        if call.path != "/hooks/catch/1/2/":
            return Answer(404, {"status": "error"})
        names = {"id": "webhook-id", "time": "webhook-timestamp", "signature": "webhook-signature"}
        inputs = {name: call.headers.get(header, "") for name, header in names.items()}
        output = _run_node(_ZAPIER, script, {**inputs, "body": call.text})
        return Answer(200, {"status": "success", "id": "1", "attempt": "1", "request_id": "1"}, output)

    return contract


def make(call: Call) -> Answer:
    """Make: a custom webhook with an API key."""
    if call.path != "/hook":
        return Answer(410, "Gone")
    if call.headers.get("x-make-apikey") != MAKE_KEY:
        return Answer(401, "Unauthorized")
    body = call.json()
    # Without its id, Make cannot deduplicate an event.
    if call.content_type != "application/json" or not isinstance(body, dict) or not body.get("id"):
        return Answer(400, "Bad Request")
    return Answer(200, "Accepted", body)


def google_sheet(script: str) -> Contract:
    """Google Apps Script: a web app with `script`. It answers 200 to what it runs, also if that fails."""
    rows = list[Any]()

    def contract(call: Call) -> Answer:
        if call.path != "/macros/s/ID/exec":
            return Answer(404, "Sorry, unable to open the file at this time.")
        given = {"parameter": dict(call.query), "body": call.text, "key": SHEET_KEY, "rows": rows}
        output = _run_node(_SHEET, script, given)
        assert output
        assert output["locked"] == 0
        is_new = len(output["rows"]) > len(rows)
        rows[:] = output["rows"]
        return Answer(200, output["html"], rows[-1] if is_new else None)

    return contract


def _run_node(stand_ins: str, script: str, given: dict[str, Any]) -> Any:
    """Return the JSON that the program prints, or None if it throws."""
    program = stand_ins.replace("SCRIPT", script)
    command = ["node", "--input-type=commonjs", "--eval", program]
    ran = subprocess.run(
        command, input=json.dumps(given).encode(), capture_output=True, timeout=NODE_SECONDS, check=False
    )
    return json.loads(ran.stdout) if ran.returncode == 0 else None
