"""Checks every response to Schemathesis, which loads this module (`SCHEMATHESIS_HOOKS`)."""

import json
import os
from pathlib import Path
from typing import Any, Final

import schemathesis

from deploy.embedded.settings import ROOT
from tests.fuzz.checker import AcceptedLeads, Answer, accepted_lead_id, check_answer, texts_of
from tests.fuzz.installation import SECRETS

ACCEPTED_VARIABLE: Final = "FASTCORE_FUZZ_ACCEPTED"
"""The variable with the file of accepted leads."""
# A shorter text may be in a message of ours by chance.
SHOWN_MIN_LENGTH: Final = 8
# A text of the documents, such as the name of a status, may be in a message, too.
_DOCUMENTED: Final = "".join(
    json.dumps(json.loads(path.read_text()), ensure_ascii=False)
    for path in (ROOT / "docs" / "openapi").glob("*.json")
)


@schemathesis.check
def keeps_promises(_: Any, response: Any, case: Any) -> None:
    """Fail for a 5xx, an error that repeats the request, or a secret. Note the id of an accepted lead."""
    answer = Answer(
        response.status_code,
        {name: ", ".join(values) for name, values in response.headers.items()},
        response.content,
    )
    sent = {
        text
        for part in (case.body, case.query, case.path_parameters)
        for text in texts_of(part)
        if len(text) >= SHOWN_MIN_LENGTH and text not in _DOCUMENTED and text not in SECRETS
    }
    check_answer(answer, sent, SECRETS)
    if case.path.startswith("/inbound/") and (lead_id := accepted_lead_id(answer)):
        AcceptedLeads(Path(os.environ[ACCEPTED_VARIABLE])).add(lead_id, case.as_curl_command())
