"""Train what ranks beside the generator. Start at the stages: dense head, mixture, repeat lifts."""
