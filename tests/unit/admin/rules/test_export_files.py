"""An export is saved under the time at which it was made, and stored by no proxy."""

from datetime import UTC, datetime

from services.admin.rules.export_files import export_headers


def test_the_name_has_the_time_and_the_kind() -> None:
    assert export_headers("xlsx", datetime(2024, 1, 3, 10, 30, 45, tzinfo=UTC)) == {
        "Content-Disposition": 'attachment; filename="leads-20240103-103045.xlsx"',
        "Cache-Control": "no-store",
    }
