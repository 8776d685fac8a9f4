"""`POST /inbound/mail-events/{provider}`: bounces and complaints that mail providers report."""
