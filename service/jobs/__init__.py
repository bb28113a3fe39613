"""Jobs over the lines of a body, in the background. Start at `bulk.BulkJobs`."""
