"""The contracts of the CRMs."""

import re
from typing import Any, Final
from urllib.parse import parse_qs

from tests.support.web.destination_stubs.server import Answer, Call, require

HUBSPOT_TOKEN: Final = "Bearer pat-eu1-of-the-tests"
PIPEDRIVE_TOKEN: Final = "pipedrive-of-the-tests"
ZOHO_TOKEN: Final = "1000.access-of-the-tests"
TWENTY_TOKEN: Final = "Bearer twenty-of-the-tests"
ESPOCRM_KEY: Final = "espocrm-of-the-tests"
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
# The form that the recipe asks for, with its required field.
_FORM_FIELDS: Final = {"email", "firstname", "lastname", "phone", "company", "message"}
_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")


def hubspot_form(call: Call) -> Answer:
    """HubSpot, "Submit data to a form (supporting authentication)", and its changelog of 2022-03."""
    body = _hubspot_body(call, call.path == "/submissions/v3/integration/secure/submit/PORTAL_ID/FORM_ID")
    require(isinstance(body.get("fields"), list), 400, _hubspot_error("Invalid input JSON"))
    values = {each.get("name"): each["value"] for each in body["fields"] if each.get("objectTypeId") == "0-1"}
    errors = [
        {"message": f"Error in 'fields.{name}'.", "errorType": "FIELD_NOT_IN_FORM_DEFINITION"}
        for name in sorted(set(map(str, values)) - _FORM_FIELDS)
    ]
    if not values.get("email"):
        message = "Error in 'fields.email'. Required field 'email' is missing"
        errors.append({"message": message, "errorType": "REQUIRED_FIELD"})
    elif not _EMAIL.fullmatch(values["email"]):
        message = "Error in 'fields.email'. Invalid email address"
        errors.append({"message": message, "errorType": "INVALID_EMAIL"})
    require(not errors, 400, {"status": "error", "message": "The request is not valid", "errors": errors})
    return Answer(200, {"inlineMessage": "Thanks for submitting the form."}, values)


def hubspot_contact(call: Call) -> Answer:
    """HubSpot, "Upsert a batch of contacts" (CRM v3)."""
    body = _hubspot_body(call, call.path == "/crm/v3/objects/contacts/batch/upsert")
    inputs: Any = body.get("inputs")
    require(isinstance(inputs, list) and inputs, 400, _hubspot_error("Invalid input JSON"))
    for each in inputs:
        properties = each.get("properties", {})
        is_upsert = each.get("idProperty") == "email" and isinstance(each.get("id"), str)
        require(is_upsert and properties, 400, _hubspot_error("Invalid input JSON"))
        valid = set(properties) <= _FORM_FIELDS and all(isinstance(each, str) for each in properties.values())
        require(valid and _EMAIL.fullmatch(each["id"]), 400, _hubspot_error("Property values were not valid"))
    results = [{"id": "1", "properties": each["properties"], "new": True} for each in inputs]
    return Answer(200, {"status": "COMPLETE", "results": results}, inputs[0]["properties"])


def _hubspot_body(call: Call, is_path: object) -> dict[str, Any]:
    require(is_path, 404, _hubspot_error("resource not found", "OBJECT_NOT_FOUND"))
    error = _hubspot_error("Authentication credentials not found.", "INVALID_AUTHENTICATION")
    require(call.headers.get("authorization") == HUBSPOT_TOKEN, 401, error)
    require(call.content_type == "application/json", 415, _hubspot_error("Unsupported media type"))
    body = call.json()
    require(isinstance(body, dict), 400, _hubspot_error("Invalid input JSON"))
    return dict(body)


def _hubspot_error(message: str, category: str = "VALIDATION_ERROR") -> dict[str, str]:
    return {"status": "error", "message": message, "correlationId": "1", "category": category}


def pipedrive(call: Call) -> Answer:
    """Pipedrive, "Add a new person" (API v2)."""
    require(call.path == "/api/v2/persons", 404, {"success": False, "error": "Unknown method ."})
    error: dict[str, Any] = {"success": False, "error": "unauthorized access", "errorCode": 401}
    require(call.headers.get("x-api-token") == PIPEDRIVE_TOKEN, 401, error)
    person = call.json()
    is_object = call.content_type == "application/json" and isinstance(person, dict)
    require(is_object, 400, _pipedrive_error("Expected an object"))
    require(
        isinstance(person.get("name"), str) and person["name"], 400, _pipedrive_error("Name must be given.")
    )
    unknown = set(person) - {"name", "emails", "phones", "custom_fields", "owner_id", "org_id"}
    require(not unknown, 400, _pipedrive_error(f"{unknown} is not allowed"))
    contacts = [each for key in ("emails", "phones") for each in person.get(key, [])]
    valid = all(isinstance(each, dict) and isinstance(each.get("value"), str) for each in contacts)
    require(valid, 400, _pipedrive_error("value must be a string"))
    return Answer(201, {"success": True, "data": {"id": 1, **person}}, person)


def _pipedrive_error(message: str) -> dict[str, Any]:
    return {"success": False, "error": message, "code": "ERR_SCHEMA_VALIDATION_FAILED"}


def salesforce(call: Call) -> Answer:
    """Salesforce, "Web-to-Lead": the answer is 200 for everything that reaches the servlet."""
    require(call.path == "/servlet/servlet.WebToLead", 404, "Not Found")
    form = {name: values[-1] for name, values in parse_qs(call.text, keep_blank_values=True).items()}
    is_form = call.content_type == "application/x-www-form-urlencoded" and call.query == {"encoding": "UTF-8"}
    lengths = {"first_name": 40, "last_name": 80, "email": 80, "phone": 40, "company": 255}
    fits = all(len(form.get(name, "")) <= most for name, most in lengths.items())
    # Without a name or company, Salesforce stores "[not provided]": the lead is as good as lost.
    complete = all(form.get(name) for name in ("last_name", "company"))
    known = re.fullmatch(r"00D\w{12}(\w{3})?", form.get("oid", ""))
    require(is_form and fits and complete and known, 200)
    return Answer(200, "", form)


def zoho(call: Call) -> Answer:
    """Zoho CRM, "Insert or Update Records (Upsert)" (API v8), and "Refresh Access Tokens"."""
    if call.path == "/oauth/v2/token":
        return _zoho_token(call)
    require(call.path == "/crm/v8/Leads/upsert", 404, _zoho_error("INVALID_URL_PATTERN", "check the URL"))
    authorization = f"Zoho-oauthtoken {ZOHO_TOKEN}"
    require(call.headers.get("authorization") == authorization, 401, _zoho_error("INVALID_TOKEN", "invalid"))
    body = call.json()
    is_object = call.content_type == "application/json" and isinstance(body, dict)
    require(is_object and len(body.get("data", [])) == 1, 400, _zoho_error("INVALID_DATA", "body"))
    (record,) = body["data"]
    for name in ("Last_Name", "Company"):
        details = {"api_name": name, "json_path": f"$.data[0].{name}"}
        error = {**_zoho_error("MANDATORY_NOT_FOUND", "required field not found"), "details": details}
        require(record.get(name), 202, {"data": [error]})
    lengths = {"First_Name": 40, "Last_Name": 80, "Phone": 30, "Company": 200, "Email": 100}
    fits = all(len(record.get(name) or "") <= most for name, most in lengths.items())
    require(fits, 202, {"data": [_zoho_error("INVALID_DATA", "invalid data")]})
    done = {"code": "SUCCESS", "action": "insert", "message": "record added", "status": "success"}
    return Answer(200, {"data": [done]}, record)


def _zoho_token(call: Call) -> Answer:
    form = {name: values[-1] for name, values in parse_qs(call.text).items()}
    valid = form.get("grant_type") == "refresh_token" and form.get("refresh_token") == "the-refresh-token"
    require(valid, 200, {"error": "invalid_code"})
    token = {"access_token": ZOHO_TOKEN, "api_domain": "https://www.zohoapis.com", "expires_in": 3600}
    return Answer(200, {**token, "token_type": "Bearer"})


def _zoho_error(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "details": {}, "message": message, "status": "error"}


def espocrm(call: Call) -> Answer:
    """EspoCRM, "Web-to-Lead", and `CaptureService.php` and the validation of a lead in its source."""
    require(call.path.startswith("/api/v1/LeadCapture/"), 404, X_Status_Reason="Not found")
    require(call.path.endswith(f"/{ESPOCRM_KEY}"), 404, X_Status_Reason="LeadCapture: API key not found.")
    lead = call.json()
    is_object = call.content_type == "application/json" and isinstance(lead, dict)
    require(is_object, 400, X_Status_Reason="No data.")
    # An empty text is no email address and no phone number; null is allowed.
    email, phone = lead.get("emailAddress"), lead.get("phoneNumber")
    valid = {
        "lastName": lead.get("lastName"),
        "emailAddress": email is None or _EMAIL.fullmatch(email),
        "phoneNumber": phone is None or _E164.fullmatch(phone),
    }
    for name, is_valid in valid.items():
        data = {"field": name, "type": "required" if name == "lastName" else "valid"}
        require(is_valid, 400, {"messageTranslation": {"label": "validationFailure", "data": data}})
    return Answer(200, True, lead)


def twenty(call: Call) -> Answer:
    """Twenty, REST `POST /rest/people`, and its tests of authentication and duplicates."""
    require(call.path == "/rest/people", *_twenty_error("object was not found"))
    token = call.headers.get("authorization")
    require(token, *_twenty_error("Missing authentication token", "FORBIDDEN_EXCEPTION", 403))
    require(token == TWENTY_TOKEN, *_twenty_error("Token invalid.", "UNAUTHENTICATED", 401))
    person = call.json()
    is_object = call.content_type == "application/json" and isinstance(person, dict) and person
    require(is_object, *_twenty_error("Invalid body"))
    unknown = set(person) - {"name", "emails", "phones", "message", "jobTitle", "city", "companyId"}
    require(not unknown, *_twenty_error(f"Object person doesn't have any {unknown} field."))
    parts = {"name": {"firstName", "lastName"}, "emails": {"primaryEmail"}, "phones": {"primaryPhoneNumber"}}
    for name, known in parts.items():
        require(set(person.get(name, {})) <= known, *_twenty_error(f"Invalid subfield of {name}"))
    phone = person.get("phones", {}).get("primaryPhoneNumber")
    require(not phone or _E164.fullmatch(phone), *_twenty_error("Provided phone number is invalid"))
    return Answer(201, {"data": {"createPerson": {"id": "1", **person}}}, person)


def _twenty_error(
    message: str, error: str = "BadRequestException", status: int = 400
) -> tuple[int, dict[str, Any]]:
    return status, {"statusCode": status, "error": error, "messages": [message]}
