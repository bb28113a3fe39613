"""JSON of the HTTP API: request bodies and answers. Never passed inward.

Unknown fields are refused, not ignored: a client learns at once that this version lacks a feature.
"""
