"""The pages to delete a person's data: one asks for confirmation, one reports what was deleted."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response
from pydantic import BaseModel, Field

from contracts.phone_numbers import phone_ending
from services.admin.adapters import CurrentAdapters
from services.admin.dashboard.auth import CurrentSession
from services.admin.dashboard.rendering import PageRoute, render
from services.admin.rules.errors import NotFoundError
from services.admin.rules.personal_data import Selection, belongs_to
from services.admin.schemas.personal_data import LISTED_MAX, ErasedPerson, PersonRecords
from services.admin.texts import gettext

router = APIRouter(prefix="/admin/ui/leads", route_class=PageRoute)


@dataclass(frozen=True)
class Contact:
    """The email address and the phone by which a person's leads are found. One of them may be missing."""

    email: str | None = None
    phone: str | None = None

    @property
    def shown(self) -> str | None:
        """The text that the admin types to confirm: the address, or the phone if there is no address."""
        return self.email or self.phone

    def matches(self, typed: str) -> bool:
        """Return True if the admin typed the text `shown`. The comparison ignores case.

        Phone numbers are equal if `phone_ending` returns the same digits for both numbers. Returns True if
        there is neither an address nor a phone.
        """
        if not self.shown or typed.lower() == self.shown.lower():
            return True
        ending = phone_ending(self.phone)
        return not self.email and ending is not None and phone_ending(typed) == ending


class DeletionForm(BaseModel):
    """The form of the confirmation page and of the result page.

    - `address` is what the admin typed to confirm: the lead's email address, or its phone if it has no
      address.
    - `lead_ids` are the selected leads.
    - `phone` is the lead's phone. Only a retry of a failed deletion sends it.
    - `failed_ids` are the leads and queue rows whose deletion failed. Only a retry sends them.
    """

    address: str = ""
    phone: str = ""
    lead_ids: list[UUID] = Field(default_factory=list, max_length=LISTED_MAX)
    failed_ids: list[UUID] = Field(default_factory=list, max_length=LISTED_MAX)


@router.get("/{lead_id}/erase")
async def confirm_deletion(
    request: Request, lead_id: UUID, session: CurrentSession, adapters: CurrentAdapters
) -> Response:
    """List all data that can be deleted with this lead, and ask for confirmation."""
    page = await _confirmation_values(lead_id, await _find_contact(lead_id, adapters), adapters)
    return render(
        request, session, "personal_data/delete_personal_data.html", typed="", mismatch=False, **page
    )


@router.post("/{lead_id}/erase")
async def delete_personal_data(
    request: Request,
    lead_id: UUID,
    session: CurrentSession,
    adapters: CurrentAdapters,
    form: Annotated[DeletionForm, Form()],
) -> Response:
    """Delete this lead, the selected leads, and the queue rows with this lead's address. Show the result.

    A retry of a failed deletion sends the address and the phone again, because the lead itself may already be
    erased. No request can delete more than this lead and data of the same person.
    """
    contact = await _find_contact(lead_id, adapters)
    typed = form.address.strip()
    if form.failed_ids:
        is_own = contact.matches(typed or form.phone) and lead_id in form.failed_ids
        failed_ids = frozenset(form.failed_ids)
        only = Selection(leads=failed_ids, records=failed_ids, own_lead=lead_id if is_own else None)
        contact = Contact(typed or None, form.phone or None)
    else:
        if not contact.matches(typed):
            page = await _confirmation_values(lead_id, contact, adapters, form.lead_ids)
            return render(
                request,
                session,
                "personal_data/delete_personal_data.html",
                status=422,
                typed=typed,
                mismatch=True,
                **page,
            )
        only = Selection(leads=frozenset(form.lead_ids), own_lead=lead_id)
    # Read first: erased leads no longer have the address.
    before = await adapters.erasures.find_person(contact.email, contact.phone)
    done = await adapters.erasures.erase_person(contact.email, session.actor, only, phone=contact.phone)
    return render(
        request,
        session,
        "personal_data/personal_data_deleted.html",
        lead_id=lead_id,
        contact=contact,
        is_retry=bool(form.failed_ids),
        **_outcome(lead_id, only.leads, before, done),
    )


def _outcome(
    lead_id: UUID, selected: Collection[UUID], before: PersonRecords, done: ErasedPerson
) -> dict[str, Any]:
    """Return the values for the result page's template.

    `before` has the person's leads before the deletion, and `done` is the deletion's result.
    """
    leads_by_id = {lead.lead_id: lead for lead in before.leads}
    erased = {each.lead_id for each in done.erased}
    unselected = [lead for lead in before.leads if lead.lead_id not in {*selected, *erased, *done.failed}]
    return {
        "erased": done.erased,
        "records": done.records,
        "failed": [
            {
                "id": failed_id,
                "lead": leads_by_id.get(failed_id),
                "is_lead": failed_id in {*leads_by_id, lead_id},
                "reason": reason,
            }
            for failed_id, reason in done.failed.items()
        ],
        "unselected": unselected[:LISTED_MAX],
        "unselected_count": len(unselected),
        "not_found": len({*selected} - {*erased, *done.records, *done.failed}),
        "leads_by_id": leads_by_id,
        "listed_max": LISTED_MAX,
    }


async def _confirmation_values(
    lead_id: UUID, contact: Contact, adapters: CurrentAdapters, selected: Collection[UUID] | None = None
) -> dict[str, Any]:
    """Return the values for the confirmation page's template.

    By default, the leads that certainly belong to this person are selected. `selected` replaces this choice.
    """
    records = await adapters.erasures.find_person(contact.email, contact.phone)
    leads = sorted(records.leads, key=lambda lead: lead.lead_id != lead_id)[:LISTED_MAX]
    others = {lead.lead_id for lead in leads if not belongs_to(lead, contact.email)}
    if selected is None:
        selected = [lead.lead_id for lead in leads if lead.lead_id not in others]
    return {
        "lead_id": lead_id,
        "contact": contact,
        "leads": leads,
        "selected": {lead_id, *selected},
        "others": others - {lead_id},
        "not_listed": len(records.leads) - len(leads),
        "records": records.records,
    }


async def _find_contact(lead_id: UUID, adapters: CurrentAdapters) -> Contact:
    """Return a lead's email address and phone.

    If the lead is not stored, they come from the lead's queued record.
    Raises `NotFoundError` if the lead does not exist.
    """
    details = await adapters.leads.get_lead(lead_id)
    if details.lead:
        return Contact(details.lead.email or None, details.lead.phone or None)
    if queued := await adapters.personal_data.read_queued_lead(lead_id):
        return Contact(queued.email or None, queued.phone or None)
    if not details.queue and not details.emails:
        raise NotFoundError(gettext("There is no lead with this id."))
    return Contact()
