"""Several processes of the gateway on one port (FASTCORE_INGEST_WORKERS), which answer as one gateway."""
