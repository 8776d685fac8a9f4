"""The names that forms use for the fields of a lead, in several languages.

Blanks, accents, capitals and punctuation are ignored. The tokens of HTML's autocomplete attribute are
included (`given-name`, `tel-national`, see the HTML standard, 4.10.18.7), because many forms use them as
names.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

_NAME_MAX: Final = 200
_LAST_BRACKET: Final = re.compile(r"\[([^\[\]]+)\](?:\[\])?$")
# What fastcore.js and other scripts send of a visit's first and last campaign. A click id without a field of
# its own belongs to the source too: it is no answer of the visitor.
_CAMPAIGN: Final = re.compile(
    r"first_referrer|(?:first_)?(?:utm_\w{1,40}|\w{0,10}clk?id|[gw]braid|li_fat_id)", re.ASCII
)
# Words in front of a name, as in "your-name" and "Ihre E-Mail".
_POSSESSIVE: Final = re.compile(r"(?:your|ihre?|deine?|votre|vos|tu|su|uw|il tuo)[\W_]+", re.IGNORECASE)

_NAMES: Final[dict[str, str]] = {
    "name": """
        name names fullname contactname customername yourname vollstandigername vorundnachname
        vornamenachname nomcomplet nometprenom nomprenom nombrecompleto nombreyapellidos
        nomecompleto nomecognome nomeecognome volledigenaam imieinazwisko nom nombre nome naam navn
        namn imie jmeno nimi 姓名 名前 お名前 имя 이름
    """,
    "first_name": "firstname first fname givenname forename vorname prenom voornaam fornavn fornamn",
    "last_name": """
        lastname last lname familyname surname nachname familienname nomdefamille apellido apellidos
        cognome achternaam etternavn efternavn efternamn sobrenome nazwisko фамилия
    """,
    "email": """
        email emailaddress mail mailaddress mailadresse emailadresse emailid contactemail workemail
        businessemail epost epostadress epostadresse correo correoelectronico courriel adressemail
        adresseemail adressecourriel emailadres indirizzoemail indirizzomail enderecodeemail replyto
        sahkoposti 邮箱 电子邮件 メール メールアドレス почта электроннаяпочта 이메일
    """,
    "phone": """
        phone phonenumber tel telnational telephone telephonenumber telefon telefonnummer telnr
        telefonnr mobile mobilenumber mobilephone mobil mobilnummer handy handynummer rufnummer cell
        cellphone telefono numerodetelefono telefone celular numerodetelephone portable
        telefoonnummer telefoon puhelin 电话 手机 電話番号 телефон 전화번호
    """,
    "company": """
        company companyname organization organisation organizationname firma firmenname unternehmen
        societe entreprise empresa azienda bedrijf bedrijfsnaam business businessname foretag yritys
        公司 会社名 компания
    """,
    "message": """
        message msg comment comments nachricht anfrage mitteilung bemerkung bemerkungen kommentar
        anliegen mensaje comentario comentarios commentaire messaggio mensagem bericht beskjed
        besked meddelande enquiry inquiry question yourquestion details projectdetails description
        howcanwehelp howcanwehelpyou text textarea body 留言 メッセージ お問い合わせ内容 сообщение 메시지
    """,
    "service": """
        service topic thema leistung dienstleistung enquirytype inquirytype
    """,
    "consent": """
        consent gdpr gdprconsent gdpragreement rgpd dsgvo privacy privacypolicy privacyconsent
        datenschutz datenschutzerklarung einwilligung einverstandnis zustimmung acceptance accept
        agree agreement iagree consentement privacidad consenso toestemming согласие
    """,
    "locale": "locale lang",
    "submitted_at": "submittedat",
    "page_title": "pagetitle",
    "source.page_url": "pageurl sourceurl embedurl posturl",
    "source.referrer": "referrer referer httpreferrer httpreferer refererurl",
    "source.landing_page": "landingpage landingpageurl landingurl",
    "meta.ip": "ip remoteip ipaddress userip clientip",
    "meta.user_agent": "useragent browseruseragent",
    "meta.consent_text": "consenttext",
    "meta.consent_version": "consentversion",
    "meta.honeypot": "gotcha botfield honeypot",
} | {
    f"source.{name}": name.replace("_", "")
    for name in (
        *("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "utm_id"),
        *("gclid", "gbraid", "wbraid", "fbclid", "msclkid", "ttclid", "li_fat_id"),
    )
}


def fold_name(name: str) -> str:
    """Return the letters and digits of a name, in lower case and without accents.

    Digits at the end of the name are removed.
    """
    # Normalisation takes time that grows with the square of a run of combining marks.
    decomposed = unicodedata.normalize("NFKD", name[:_NAME_MAX]).casefold()
    return "".join(character for character in decomposed if character.isalnum()).rstrip("0123456789")


_TARGETS: Final = {fold_name(name): target for target, names in _NAMES.items() for name in names.split()}


def target_of(name: str) -> str | None:
    """Return the lead's field for a name in a form, or None if the name is not known.

    The result is the name of a field of `LeadSubmission`, or `first_name` or `last_name`. The name of a field
    of the lead's source or meta has a prefix, such as `source.utm_campaign`.
    """
    if _CAMPAIGN.fullmatch(name):
        return f"source.{name}"
    return next((_TARGETS[folded] for folded in _candidates(name) if folded in _TARGETS), None)


def _candidates(name: str) -> Iterator[str]:
    """Yield the folded forms of a name under which the name may be known.

    These are the whole name, the text in its last brackets, and the name without a possessive such as
    `your-`.
    """
    yield fold_name(name)
    if bracketed := _LAST_BRACKET.search(name):
        yield fold_name(bracketed[1])
    if possessive := _POSSESSIVE.match(name):
        yield fold_name(name[possessive.end() :])
