"""Each wrong values file is refused, with a message that names the key.

A file in `wrong` begins with `# says: ` and what Helm must say. Its values are added to the minimal ones,
which are right. Run by `make chart`; not collected by `make test`, which needs no Helm.
"""

from pathlib import Path

import pytest

from tests.chart.rendering import helm_template

WRONG = sorted((Path(__file__).parent / "wrong").glob("*.yaml"))


def test_the_values_without_a_mistake_are_rendered() -> None:
    rendered, error = helm_template()
    assert not error
    assert "kind: StatefulSet" in rendered


@pytest.mark.parametrize("values", [pytest.param(path, id=path.stem) for path in WRONG])
def test_wrong_values_are_refused_by_their_key(values: Path) -> None:
    expected = values.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# says: ")
    _, error = helm_template(values=values)
    assert expected in error
    # One mistake is one message.
    assert len(error.splitlines()) <= 6
