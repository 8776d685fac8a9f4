"""How FASTCore is provisioned and run: migrations, topics, the embedded stack, deployment files."""
