"""The words of the pages that a visitor sees, by language."""

import re
from typing import Final, NamedTuple

_HEADER_MAX: Final = 200
# A weight of RFC 9110, 12.4.2. Without one it is 1.
_WEIGHT: Final = re.compile(r"[01](\.\d{0,3})?|")


class Texts(NamedTuple):
    """The words in one language.

    `owner_origin` and `owner_hidden_origin` are for the website's owner. The script fastcore.js shows `saved`
    while a message waits in the browser, and `saved_sent` once the message has been sent.
    """

    thanks_title: str
    thanks: str
    back: str
    check_title: str
    check: str
    name: str
    phone: str
    company: str
    email: str
    message: str
    email_wrong: str
    email_missing: str
    message_missing: str
    too_long: str
    send: str
    error_title: str
    wrong_origin: str
    owner_origin: str
    owner_hidden_origin: str
    unknown_form: str
    too_large: str
    unreadable: str
    later_title: str
    later: str
    saved: str
    saved_sent: str


DEFAULT: Final = "en"
TEXTS: Final = {
    "en": Texts(
        thanks_title="Thank you",
        thanks="Your message has been sent. We will get back to you.",
        back="Back to the website",
        check_title="Please check your message",
        check="It has not been sent yet. Everything that you entered is still here.",
        name="Name",
        phone="Phone",
        company="Company",
        email="Email",
        message="Message",
        email_wrong="Please enter an email address such as name@example.com.",
        email_missing="Please enter your email address or your phone number, so that we can answer.",
        message_missing="Please write a message.",
        too_long="This text is too long. Please shorten it.",
        send="Send",
        error_title="Your message was not sent",
        wrong_origin=(
            "This form cannot be sent from the page that you came from. Everything that you entered is "
            "still here: you can send it from this page."
        ),
        owner_origin="For the owner of the website: add {origin} to the site's origins in the sites file.",
        owner_hidden_origin=(
            "For the owner of the website: the page hides its origin. Remove no-referrer from its "
            "Referrer-Policy."
        ),
        unknown_form="This form does not exist any more.",
        too_large="Your message is too large. Please send it without files.",
        unreadable="Your message could not be read. Please go back and send it again.",
        later_title="Please try again",
        later="Your message could not be stored now. Please wait a moment and send it again.",
        saved="Saved. It will be sent soon.",
        saved_sent="Your saved message has been sent.",
    ),
    "de": Texts(
        thanks_title="Vielen Dank",
        thanks="Ihre Nachricht wurde gesendet. Wir melden uns bei Ihnen.",
        back="Zurück zur Website",
        check_title="Bitte prüfen Sie Ihre Nachricht",
        check="Sie wurde noch nicht gesendet. Ihre Eingaben sind noch da.",
        name="Name",
        phone="Telefon",
        company="Firma",
        email="E-Mail",
        message="Nachricht",
        email_wrong="Bitte geben Sie eine E-Mail-Adresse wie name@example.com ein.",
        email_missing="Bitte geben Sie Ihre E-Mail-Adresse oder Telefonnummer an, damit wir antworten.",
        message_missing="Bitte schreiben Sie eine Nachricht.",
        too_long="Dieser Text ist zu lang. Bitte kürzen Sie ihn.",
        send="Senden",
        error_title="Ihre Nachricht wurde nicht gesendet",
        wrong_origin=(
            "Dieses Formular kann von der vorherigen Seite nicht gesendet werden. Ihre Eingaben sind "
            "noch da: Sie können sie von dieser Seite senden."
        ),
        owner_origin="Für den Betreiber der Website: {origin} fehlt in den origins der Site (Sites-Datei).",
        owner_hidden_origin=(
            "Für den Betreiber der Website: Die Seite verbirgt ihren Ursprung. Entfernen Sie "
            "no-referrer aus ihrer Referrer-Policy."
        ),
        unknown_form="Dieses Formular gibt es nicht mehr.",
        too_large="Ihre Nachricht ist zu groß. Bitte senden Sie sie ohne Dateien.",
        unreadable="Ihre Nachricht war nicht lesbar. Bitte gehen Sie zurück und senden Sie sie noch einmal.",
        later_title="Bitte versuchen Sie es noch einmal",
        later="Ihre Nachricht konnte gerade nicht gespeichert werden. Bitte senden Sie sie noch einmal.",
        saved="Gespeichert. Wird bald gesendet.",
        saved_sent="Die gespeicherte Nachricht wurde gesendet.",
    ),
    "fr": Texts(
        thanks_title="Merci",
        thanks="Votre message a été envoyé. Nous vous répondrons.",
        back="Retour au site",
        check_title="Veuillez vérifier votre message",
        check="Il n'a pas encore été envoyé. Tout ce que vous avez saisi est encore là.",
        name="Nom",
        phone="Téléphone",
        company="Société",
        email="E-mail",
        message="Message",
        email_wrong="Veuillez saisir une adresse e-mail comme nom@example.com.",
        email_missing="Veuillez indiquer votre adresse e-mail ou votre téléphone, pour la réponse.",
        message_missing="Veuillez écrire un message.",
        too_long="Ce texte est trop long. Veuillez le raccourcir.",
        send="Envoyer",
        error_title="Votre message n'a pas été envoyé",
        wrong_origin=(
            "Ce formulaire ne peut pas être envoyé depuis la page d'où vous venez. Tout ce que vous "
            "avez saisi est encore là : vous pouvez l'envoyer depuis cette page."
        ),
        owner_origin=(
            "Pour le responsable du site : ajoutez {origin} aux origins du site dans le fichier des sites."
        ),
        owner_hidden_origin=(
            "Pour le responsable du site : la page cache son origine. Retirez no-referrer de sa "
            "Referrer-Policy."
        ),
        unknown_form="Ce formulaire n'existe plus.",
        too_large="Votre message est trop volumineux. Veuillez l'envoyer sans fichiers.",
        unreadable="Votre message n'a pas pu être lu. Veuillez revenir en arrière et l'envoyer de nouveau.",
        later_title="Veuillez réessayer",
        later="Votre message n'a pas pu être enregistré. Veuillez l'envoyer de nouveau.",
        saved="Enregistré. L'envoi suivra bientôt.",
        saved_sent="Le message enregistré a été envoyé.",
    ),
    "es": Texts(
        thanks_title="Gracias",
        thanks="Su mensaje se ha enviado. Nos pondremos en contacto con usted.",
        back="Volver al sitio web",
        check_title="Revise su mensaje",
        check="Todavía no se ha enviado. Todo lo que escribió sigue aquí.",
        name="Nombre",
        phone="Teléfono",
        company="Empresa",
        email="Correo electrónico",
        message="Mensaje",
        email_wrong="Escriba una dirección de correo como nombre@example.com.",
        email_missing="Escriba su correo electrónico o su teléfono para que podamos responder.",
        message_missing="Escriba un mensaje.",
        too_long="Este texto es demasiado largo. Acórtelo.",
        send="Enviar",
        error_title="Su mensaje no se ha enviado",
        wrong_origin=(
            "Este formulario no se puede enviar desde la página anterior. Todo lo que escribió sigue "
            "aquí: puede enviarlo desde esta página."
        ),
        owner_origin=(
            "Para el responsable del sitio: añada {origin} a los origins del sitio en el archivo de sitios."
        ),
        owner_hidden_origin=(
            "Para el responsable del sitio: la página oculta su origen. Quite no-referrer de su "
            "Referrer-Policy."
        ),
        unknown_form="Este formulario ya no existe.",
        too_large="Su mensaje es demasiado grande. Envíelo sin archivos.",
        unreadable="No se pudo leer su mensaje. Vuelva atrás y envíelo de nuevo.",
        later_title="Inténtelo de nuevo",
        later="Su mensaje no se pudo guardar. Espere un momento y envíelo de nuevo.",
        saved="Guardado. Se enviará pronto.",
        saved_sent="El mensaje guardado se ha enviado.",
    ),
    "it": Texts(
        thanks_title="Grazie",
        thanks="Il Suo messaggio è stato inviato. La contatteremo.",
        back="Torna al sito",
        check_title="Controlli il Suo messaggio",
        check="Non è ancora stato inviato. Quello che ha scritto è ancora qui.",
        name="Nome",
        phone="Telefono",
        company="Azienda",
        email="E-mail",
        message="Messaggio",
        email_wrong="Inserisca un indirizzo e-mail come nome@example.com.",
        email_missing="Inserisca il Suo indirizzo e-mail o il telefono, così possiamo rispondere.",
        message_missing="Scriva un messaggio.",
        too_long="Questo testo è troppo lungo. Lo accorci.",
        send="Invia",
        error_title="Il Suo messaggio non è stato inviato",
        wrong_origin=(
            "Questo modulo non può essere inviato dalla pagina precedente. Quello che ha scritto è "
            "ancora qui: può inviarlo da questa pagina."
        ),
        owner_origin=(
            "Per il responsabile del sito: aggiunga {origin} agli origins del sito nel file dei siti."
        ),
        owner_hidden_origin=(
            "Per il responsabile del sito: la pagina nasconde la sua origine. Tolga no-referrer dalla "
            "sua Referrer-Policy."
        ),
        unknown_form="Questo modulo non esiste più.",
        too_large="Il Suo messaggio è troppo grande. Lo invii senza file.",
        unreadable="Non è stato possibile leggere il messaggio. Torni indietro e lo invii di nuovo.",
        later_title="Riprovi",
        later="Non è stato possibile salvare il messaggio. Attenda un momento e lo invii di nuovo.",
        saved="Salvato. Sarà inviato presto.",
        saved_sent="Il messaggio salvato è stato inviato.",
    ),
    "nl": Texts(
        thanks_title="Bedankt",
        thanks="Uw bericht is verzonden. We nemen contact met u op.",
        back="Terug naar de website",
        check_title="Controleer uw bericht",
        check="Het is nog niet verzonden. Alles wat u hebt ingevuld staat er nog.",
        name="Naam",
        phone="Telefoon",
        company="Bedrijf",
        email="E-mail",
        message="Bericht",
        email_wrong="Vul een e-mailadres in, zoals naam@example.com.",
        email_missing="Vul uw e-mailadres of telefoonnummer in, zodat we kunnen antwoorden.",
        message_missing="Schrijf een bericht.",
        too_long="Deze tekst is te lang. Maak hem korter.",
        send="Verzenden",
        error_title="Uw bericht is niet verzonden",
        wrong_origin=(
            "Dit formulier kan niet worden verzonden vanaf de vorige pagina. Alles wat u hebt ingevuld "
            "staat er nog: u kunt het vanaf deze pagina verzenden."
        ),
        owner_origin=(
            "Voor de eigenaar van de website: voeg {origin} toe aan de origins van de site in het "
            "sitesbestand."
        ),
        owner_hidden_origin=(
            "Voor de eigenaar van de website: de pagina verbergt haar herkomst. Verwijder no-referrer "
            "uit haar Referrer-Policy."
        ),
        unknown_form="Dit formulier bestaat niet meer.",
        too_large="Uw bericht is te groot. Verstuur het zonder bestanden.",
        unreadable="Uw bericht kon niet worden gelezen. Ga terug en verzend het opnieuw.",
        later_title="Probeer het opnieuw",
        later="Uw bericht kon niet worden opgeslagen. Wacht even en verzend het opnieuw.",
        saved="Opgeslagen. Wordt snel verzonden.",
        saved_sent="Uw opgeslagen bericht is verzonden.",
    ),
}


def texts_for(locale: str | None) -> tuple[str, Texts]:
    """Return the language of a locale and its words. Falls back to English for an unknown language."""
    language = (locale or DEFAULT).partition("-")[0].lower()
    return (language, TEXTS[language]) if language in TEXTS else (DEFAULT, TEXTS[DEFAULT])


def preferred_locale(accept_language: str | None) -> str | None:
    """Return the language of `TEXTS` that the header Accept-Language prefers, or None."""
    weighted: list[tuple[float, str | None]] = []
    for item in (accept_language or "")[:_HEADER_MAX].split(","):
        tag, _, quality = item.replace(" ", "").partition(";q=")
        language = tag.partition("-")[0].lower()
        if language in TEXTS and _WEIGHT.fullmatch(quality):
            weighted.append((float(quality or 1), language))
    weight, preferred = max(weighted, key=lambda each: each[0], default=(0.0, None))
    return preferred if weight > 0 else None
