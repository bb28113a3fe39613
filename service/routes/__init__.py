"""One module per resource of the HTTP API. A router whose calls take bodies has `route_class=BodyRoute`."""
