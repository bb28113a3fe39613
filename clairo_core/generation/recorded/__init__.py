"""The beam search as recorded CUDA graphs: fixed shapes, one wait per batch. Start at `recorded_search.record_search`.

Views come in, fused items go out, as from `search.beam_search.search` and `search.view_fusion.fuse_views`:

    recorded_search      record the search for several batch sizes, check each against the plain search, replay
    static_search        the beam search in a fixed number of steps of fixed shapes
    static_view_fusion   the fusion of views in fixed shapes
    padded_trie          the trie in tensors that keep their addresses while the catalogue grows
    cuda_graphs          record and replay work on a GPU; buffers on host and device
    search_agreement     test batches, and when two searches agree

`build_recommender` records the search, and `Recommender.generate` calls it; it searches plainly if no size fits.

No GPU has run this yet. Tests replay it on the CPU with a fake recorder. On a CUDA machine one command records the
search, compares its answers with the CPU's, and times both:

    python -m benchmarks.speed.generate --device cuda
"""
