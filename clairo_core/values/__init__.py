"""Read values from text: one parser and one rule per kind, for tables, HTTP bodies, exports and clients.

`numbers`: amounts with or without currency. `ids`: ids of items and users. `times`: ISO 8601 and seconds since 1970.
`missing`: values that count as absent. `markup`: the words of HTML.
"""
