"""Parses the `tag=value; tag=value` lists of DKIM and DMARC records."""


def parse_tags(record: str) -> dict[str, str]:
    """Return the values by tag name in lower case. If a tag is repeated, its first value counts."""
    tags: dict[str, str] = {}
    for part in record.split(";"):
        name, equals, value = part.partition("=")
        if equals:
            tags.setdefault(name.strip().lower(), value.strip())
    return tags
