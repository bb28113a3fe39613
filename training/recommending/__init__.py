"""From a bundle and the users of a data set or a service to a file of recommendations. Start at `recommend_users`."""
