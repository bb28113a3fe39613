"""Pictures that a client names by url: fetched from the hosts that the operator lists; start at `fetch`."""
