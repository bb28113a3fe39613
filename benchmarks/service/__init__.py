"""Start the service in its own process, and load it over HTTP."""
