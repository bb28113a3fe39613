"""What every HTTP call shares: bodies, problems, OpenAPI, request context, observation, idempotency, disconnects."""
