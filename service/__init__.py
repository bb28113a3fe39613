"""The HTTP service over a `Recommender`; start reading at `service.app.create_app`."""
