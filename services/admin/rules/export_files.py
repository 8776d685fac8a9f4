"""The files of an export: their media types and names. No I/O."""

from datetime import datetime
from typing import Final

CSV_TYPE: Final = "text/csv; charset=utf-8"
EXCEL_TYPE: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def export_headers(extension: str, now: datetime) -> dict[str, str]:
    """Return the headers of an export: browsers save the response as a file, and no cache stores it."""
    name = f"leads-{now:%Y%m%d-%H%M%S}.{extension}"
    return {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
