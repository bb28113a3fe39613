"""Neural baselines for comparisons: SASRec, GRU4Rec, BERT4Rec. Start at `fit_sequence_model`."""
