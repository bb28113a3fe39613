"""A bundle -> a page that people look at, and its charts as PDF and CSV. Start at `write_report.write_report`."""
