"""Rank all items beside the generator. Start at the stages: dense head, mixture, repeat lifts."""
