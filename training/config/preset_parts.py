"""Name the parts that a preset puts together, from its settings. Start at `parts_of`."""

from clairo_core.bundle.manifest import NUMBERED
from training.config.preset import CONCAT_PCA, DENSE_RERANKS, GRAPH, HASH, PARALLEL, Preset

_BUILTIN, _NONE = "builtin", "none"


def parts_of(preset: Preset) -> dict[str, str]:
    """What each stage does under these settings, in the order of the stages."""
    reads_content = preset.quantize.kind not in NUMBERED
    return {
        "content": content_of(preset) if reads_content else _NONE,
        "fusion": fusion_of(preset) if reads_content else _NONE,
        "alignment": alignment_of(preset) if reads_content else _NONE,
        "quantizer": quantizer_of(preset),
        "tokens": tokens_of(preset),
        "generator": generator_of(preset),
        "ranking": ranking_of(preset),
    }


def content_of(preset: Preset) -> str:
    """The modalities, with their encoders where these are not built in."""
    encoders = {"text": preset.encode.text_encoder, "image": preset.encode.image_encoder}
    named = {name: encoders.get(name, _BUILTIN) for name in preset.encode.modalities}
    return ", ".join(name if of == _BUILTIN else f"{name} by {of}" for name, of in named.items())


def fusion_of(preset: Preset) -> str:
    """From modality embeddings to the item embedding."""
    fuse = preset.fuse
    steps = [
        f"contrastive {fuse.contrastive_dim}" if fuse.contrastive_dim else "",
        f"PCA {fuse.dim_per_modality} each",
        f"weights {', '.join(fuse.weights)}" if fuse.weights else "",
        "" if fuse.scheme == CONCAT_PCA else fuse.scheme,
        f"PCA {fuse.final_dim} of all" if fuse.final_dim else "",
        "whitened" if fuse.whiten else "",
    ]
    return ", ".join(step for step in steps if step)


def alignment_of(preset: Preset) -> str:
    """From content to behaviour."""
    settings = preset.align
    if not settings.dim:
        return _NONE
    layers = f" of {settings.num_layers} layers" if settings.kind == GRAPH else ""
    return f"{settings.kind}{layers}, {settings.dim}"


def quantizer_of(preset: Preset) -> str:
    """From item embeddings to codes; the sizes are upper bounds."""
    settings = preset.quantize
    if settings.kind in NUMBERED:
        return f"{settings.kind} numbers in base {settings.num_centroids}"
    buckets = f", {settings.hash_buckets} hash buckets" if settings.collision == HASH else ""
    balanced = ", last level balanced" if settings.balanced_last_level else ""
    regularized = ", regularized by behaviour and use" if preset.autoencoder.collaborative_weight else ""
    sizes = f"{settings.num_codebooks} x {settings.num_centroids}"
    return f"{settings.kind} {sizes}{balanced}{regularized}{buckets}"


def tokens_of(preset: Preset) -> str:
    """From codes to what the generator reads and writes."""
    settings = preset.vocabulary
    if preset.generator.kind == PARALLEL or not (settings.size or settings.merges_per_item):
        return "codes" if preset.generator.kind == PARALLEL else f"codes, {settings.spelling}"
    return f"{settings.size:,} by merging" if settings.size else f"{settings.merges_per_item:g} merges per item"


def generator_of(preset: Preset) -> str:
    """The network that writes items."""
    if preset.generator.kind == PARALLEL:
        parallel = preset.parallel
        graph = f", graph of {parallel.graph_degree} edges" if parallel.search == GRAPH else ""
        return f"all codes at once, {parallel.encoder} of width {parallel.width}{graph}"
    content = ", reads content" if preset.generator.reads_content else ""
    return f"T5, {preset.generator.num_layers} layers of {preset.generator.d_model}{content}"


def ranking_of(preset: Preset) -> str:
    """What the generator is ranked with."""
    if not preset.dense.dim:
        return "generator alone"
    if preset.mix.kind == DENSE_RERANKS:
        return "generator's items and new ones, by the dense head"
    return "generator, dense heads, counts"
