"""Neural rivals for the comparison table: SASRec, GRU4Rec, BERT4Rec. Start at `fit_sequence_model`."""
