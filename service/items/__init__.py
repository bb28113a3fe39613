"""Add and change items: content -> features -> store -> catalogue. Start at `ingestion.Ingestion`."""
