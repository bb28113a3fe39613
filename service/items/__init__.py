"""Add and change items: from picture and words to a catalogue version. Start at `ingestion.Ingestion`."""
