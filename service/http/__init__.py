"""What every HTTP call shares: problems, OpenAPI, request context, observation, idempotency, disconnects."""
