"""The JSON of the HTTP API: request bodies and answers. Never passed inward."""
