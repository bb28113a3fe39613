"""Pictures named by url: their download, their place beside the data; and the check of all pictures before training."""
