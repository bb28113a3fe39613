"""What can be set: one frozen settings object a stage, and a preset of them all.

Knows names, types and defaults; knows nothing of what the stages do with them, or of files. Start at `Preset`.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

RECURRENT, TRANSFORMER = "recurrent", "transformer"
AUTO = "auto"
"""Each is tried, and what ranks validation targets best is kept."""


@dataclass(frozen=True, slots=True)
class DatasetSettings:
    """Which part of the dataset is used."""

    code_columns: tuple[str, ...] = ()
    """Precomputed code columns to take as the semantic id, by name or by prefix (`text`); empty takes all there are."""
    codes: str = "ids"
    """`ids` takes precomputed codes as the items' semantic ids; `vectors` makes each family of columns a modality
    (text_0 and text_1 give `text_codes`), to be fused, placed by behaviour and quantized anew."""


@dataclass(frozen=True, slots=True)
class EncodeSettings:
    """Content to modality embeddings."""

    modalities: tuple[str, ...] = ("text", "image")
    """Any further name is a column of vectors in the items table."""
    text_encoder: str = "builtin"
    """Or `sentence-transformers:NAME_OR_FOLDER`; without a name, Sentence-T5."""
    image_encoder: str = "builtin"
    """Or `open_clip:NAME/TAG`, `open_clip:FOLDER`, or `learned` from the catalogue's own pictures and words."""
    text_dim: int = 256
    """Size of the built-in text encoder's modality embedding."""
    learned_dim: int = 128
    """Size of the learned image encoder's modality embedding."""
    learned_epochs: int = 25


@dataclass(frozen=True, slots=True)
class FuseSettings:
    """Modality embeddings to item embeddings."""

    dim_per_modality: int = 64
    scheme: str = "concat_pca"
    """`gate` and `attention` learn how much of each modality an item needs; `late` gives each codebooks of its own."""
    weights: tuple[str, ...] = ()
    """`text=1,image=0.5`, or `auto`: chosen on validation by nearest neighbours. Empty counts all alike."""
    final_dim: int = 0
    """Principal components of all modalities together; 0 has no final PCA."""
    whiten: bool = False
    """Whether the last principal components there are vary equally much."""
    contrastive_dim: int = 0
    """Bring an item's modalities together in a space of this size before they are fused; 0 leaves them be."""


@dataclass(frozen=True, slots=True)
class AlignSettings:
    """Content and training sequences to item embeddings in which items that follow one another are close."""

    dim: int = 64
    """Length of an item embedding; 0 leaves items where their content puts them."""
    window: int = 3
    """Items of a history that stand so many places apart count as neighbours."""
    prior_interactions: float = 5.0
    """An item used so often is placed half by what people did with it, half by its content."""
    content_weight: float = 0.2
    """Of the content itself beside what it says of behaviour: tells apart what is used alike."""


@dataclass(frozen=True, slots=True)
class QuantizeSettings:
    """Item embeddings to semantic ids."""

    num_codebooks: int = 4
    num_centroids: int = 256
    """At most; fewer where the catalogue is small."""
    min_items_per_centroid: int = 15
    """Codes that hardly any items share say nothing: small catalogues get the largest power of two that keeps this."""
    num_iterations: int = 25


@dataclass(frozen=True, slots=True)
class VocabularySettings:
    """Feature sets and training sequences to a vocabulary."""

    size: int = 0
    """Tokens in all, padding and end included; 0 takes every feature and `merges_per_item` rules for each item."""
    merges_per_item: float = 0.1
    """Rules for each item of the catalogue, at most 40,000 in all: many rules need many examples to pay."""
    max_sequences: int = 0
    """Learn from a seeded sample of this many sequences; 0 takes all."""


@dataclass(frozen=True, slots=True)
class GeneratorSettings:
    """The T5's shape."""

    d_model: int = 64
    d_kv: int = 16
    d_ff: int = 256
    num_layers: int = 2
    num_heads: int = 4
    dropout_rate: float = 0.05


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How the generator is trained."""

    softmax: str = "reachable"
    """`reachable` scores a token against those that can follow it in the catalogue, `vocabulary` against all tokens."""

    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    warmup_share: float = 0.05
    label_smoothing: float = 0.0
    batch_size: int = 64
    max_epochs: int = 30
    examples_per_epoch: int = 0
    """Train on a fresh seeded sample of this many prefixes an epoch; 0 takes every prefix."""
    balance_users: bool = False
    """Whether each user counts the same, however long the history: as in the evaluation. Needs examples_per_epoch."""
    patience: int = 3
    """Stop after this many epochs without a better validation NDCG@10."""
    max_minutes: float = 0.0
    """Stop at the end of the epoch that passes this; 0 has no limit."""
    max_history_items: int = 10
    validation_users: int = 500


@dataclass(frozen=True, slots=True)
class DenseSettings:
    """The dense head: all items scored at once from a history."""

    dim: int = 64
    """Length of an item's vector; 0 leaves out the dense head and all that ranks beside the generator."""
    encoder: str = RECURRENT
    """What reads a history: `recurrent`, of `width` units, `transformer`, of `num_layers` with `num_heads`, or `auto`:
    both are trained, and the better one on validation is kept."""
    width: int = 128
    num_layers: int = 2
    num_heads: int = 2
    dropout_rate: float = 0.3
    own_dropout: float = 0.3
    """Share of items that are trained as if they had been posted just now, drawn anew for each batch."""
    held_out_share: float = 0.1
    """Share of the items that play new: nothing learns from their content, so they show how posted items will do."""
    learning_rate: float = 2e-3
    weight_decay: float = 0.0
    positions_per_batch: int = 1500
    max_epochs: int = 20
    patience: int = 4
    """Stop after this many epochs without a better validation NDCG@10."""
    max_history_items: int = 50
    validation_users: int = 2000


@dataclass(frozen=True, slots=True)
class MixSettings:
    """How generator, dense head and counts of what goes with what are ranked together."""

    max_users: int = 8000
    """Validation users that the weights are fitted on; a seeded sample of more."""
    max_ease_items: int = 20_000
    """EASE inverts a matrix of items by items: larger catalogues go without."""
    ease_weights_per_item: int = 300
    """The strongest that are kept."""
    most_lost_to_new: float = 0.1
    """Of the other items' Recall@10, while `dense.held_out_share` of the items compete as if posted just now."""


@dataclass(frozen=True, slots=True)
class EvaluateSettings:
    """How recommendations are made when they are measured."""

    num_views: int = 3
    num_beams: int = 50
    max_users: int = 0
    """Measure on a seeded sample of this many users; 0 takes all."""
    num_resamples: int = 1000
    """Bootstrap resamples over users behind each interval."""


@dataclass(frozen=True, slots=True)
class Preset:
    """All settings of one recipe; each stage reads its own part."""

    name: str
    dataset: DatasetSettings = field(default_factory=DatasetSettings)
    encode: EncodeSettings = field(default_factory=EncodeSettings)
    fuse: FuseSettings = field(default_factory=FuseSettings)
    align: AlignSettings = field(default_factory=AlignSettings)
    quantize: QuantizeSettings = field(default_factory=QuantizeSettings)
    vocabulary: VocabularySettings = field(default_factory=VocabularySettings)
    generator: GeneratorSettings = field(default_factory=GeneratorSettings)
    fit: FitSettings = field(default_factory=FitSettings)
    dense: DenseSettings = field(default_factory=DenseSettings)
    mix: MixSettings = field(default_factory=MixSettings)
    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)

    def as_dict(self) -> dict[str, Any]:
        """Plain nested dictionaries, ready for JSON."""
        return dataclasses.asdict(self)
