"""Turn columns of a table into ids, texts, times, numbers and codes, with errors that name the row."""
