"""From a bundle or a running service, and a shop's users, to a file of recommendations.

Start at `recommend_users` (a bundle recommends) or `ask_service` (a service answers, under its placements).
"""
