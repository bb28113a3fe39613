"""The settings of every stage: one frozen object per stage, each field with its type, range and default.

Independent of the stages and of files. Start at `Preset`.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated, Any

from clairo_core.bundle.manifest import NUMBERED
from clairo_core.generation.t5.generator_checkpoint import Softmax
from clairo_core.tokens.spelling import Spelling
from training.config.ranges import (
    Amount,
    LearningRate,
    ListOf,
    NotNegative,
    OneOf,
    Positive,
    Share,
    ShareAboveZero,
    Spelled,
)

IDS, VECTORS = "ids", "vectors"
TOKEN, PARALLEL = "token", "parallel"
INDEX, HASH = "index", "hash"
NEIGHBOURS, GRAPH = "neighbours", "graph"
CONCAT_PCA, GATE, ATTENTION, LATE = "concat_pca", "gate", "attention", "late"
OPQ, RQ, KMEANS, RQVAE, VQVAE = "opq", "rq", "kmeans", "rqvae", "vqvae"
RANDOM, SEQUENTIAL = NUMBERED
RECURRENT, TRANSFORMER = "recurrent", "transformer"
EXACT = "exact"
FITTED, DENSE_RERANKS = "fitted", "dense_reranks"
LAST, TIME = "last", "time"
AUTO = "auto"
"""Choose on validation."""

_NAME = Spelled(r".*\S.*", "a name")
_LINE = Spelled(r"[^\n]*", "one line")
_WEIGHT = Spelled(
    rf"{AUTO}|[^=]*[^=\s]\s*=\s*(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", f"modality=NUMBER, or {AUTO} on its own"
)


@dataclass(frozen=True, slots=True)
class About:
    """What a preset is, for people: no stage reads it, and a preset of one's own may leave it out."""

    title: Annotated[str, _LINE] = ""
    paper: Annotated[str, _LINE] = ""
    """Authors, year and title; empty for a recipe that nobody published."""
    url: Annotated[str, _LINE] = ""
    differs: Annotated[tuple[str, ...], ListOf(_LINE)] = ()
    """From the paper, one difference per line."""
    notes: Annotated[tuple[str, ...], ListOf(_LINE)] = ()
    """To read before a run."""


@dataclass(frozen=True, slots=True)
class DatasetSettings:
    """How precomputed codes of a dataset are used."""

    code_columns: Annotated[tuple[str, ...], ListOf(_NAME)] = ()
    """Code columns that form the semantic id, by name or by prefix (`text`); empty uses all."""
    codes: Annotated[str, OneOf((IDS, VECTORS))] = IDS
    """`ids` uses precomputed codes as semantic ids. `vectors` turns each family of columns into a modality (text_0 and
    text_1 become `text_codes`), to be fused, aligned and quantized again."""


@dataclass(frozen=True, slots=True)
class SplitSettings:
    """Which interactions are held out to validate and to test."""

    kind: Annotated[str, OneOf((LAST, TIME))] = LAST
    """`last` holds out each user's last two items. `time` holds out what all users did in the last two horizons."""
    horizon_days: Amount = 0.0
    """Length of each horizon, for `time`; 0 takes `horizon_share`."""
    horizon_share: ShareAboveZero = 0.1
    """Share of all interactions in each horizon, for `time` without `horizon_days`."""

    @property
    def rule(self) -> str:
        """The settings that count.

        >>> SplitSettings(TIME).rule
        'split.kind=time, split.horizon_share=0.1'
        """
        if self.kind == LAST:
            return f"split.kind={self.kind}"
        is_in_days = self.horizon_days > 0
        horizon = f"days={self.horizon_days:g}" if is_in_days else f"share={self.horizon_share:g}"
        return f"split.kind={self.kind}, split.horizon_{horizon}"


@dataclass(frozen=True, slots=True)
class EncodeSettings:
    """Item content to modality embeddings."""

    modalities: Annotated[tuple[str, ...], ListOf(_NAME, fewest=1)] = ("text", "image")
    """text, image, or the names of vector columns in the items table."""
    text_encoder: Annotated[
        str, Spelled(r"builtin|sentence-transformers(:.*)?", "builtin or sentence-transformers:NAME_OR_FOLDER")
    ] = "builtin"
    """`sentence-transformers` without a name loads Sentence-T5."""
    image_encoder: Annotated[
        str, Spelled(r"builtin|learned|open_clip(:.*)?", "builtin, learned, open_clip:NAME/TAG or open_clip:FOLDER")
    ] = "builtin"
    """`learned` is trained on the catalogue's own pictures and words."""
    text_dim: Positive = 256
    """Size of the built-in text encoder's modality embedding."""
    learned_dim: Positive = 128
    """Size of the learned image encoder's modality embedding."""
    learned_epochs: Positive = 25


@dataclass(frozen=True, slots=True)
class FuseSettings:
    """Modality embeddings to item embeddings."""

    dim_per_modality: Positive = 64
    scheme: Annotated[str, OneOf((CONCAT_PCA, GATE, ATTENTION, LATE))] = CONCAT_PCA
    """`gate` and `attention` learn a weight per item and modality. `late` gives each modality its own codebooks."""
    weights: Annotated[tuple[str, ...], ListOf(_WEIGHT)] = ()
    """`text=1,image=0.5`, or `auto`: chosen on validation by nearest neighbours. Empty weighs all equally."""
    final_dim: NotNegative = 0
    """Principal components over all modalities together; 0 skips the final PCA."""
    whiten: bool = False
    """Scale the components of the last PCA to equal variance."""
    contrastive_dim: NotNegative = 0
    """Align an item's modalities in a shared space of this size before fusion; 0 skips the alignment."""


@dataclass(frozen=True, slots=True)
class AlignSettings:
    """Content and training sequences to item embeddings: items that follow one another lie close together."""

    dim: NotNegative = 64
    """Length of an item embedding; 0 uses content alone."""
    kind: Annotated[str, OneOf((NEIGHBOURS, GRAPH))] = NEIGHBOURS
    """What behaviour is: the items beside an item in histories, or the graph of users and items, over which content
    is propagated too."""
    window: Positive = 3
    """Items at most this many places apart in a history count as neighbours; not used by `graph`."""
    num_layers: Positive = 2
    """For `graph`: steps from items to users and back."""
    prior_interactions: Amount = 5.0
    """Number of interactions at which behaviour and content weigh equally."""
    content_weight: Amount = 0.2
    """Weight of the content itself beside the behaviour it predicts; separates items that are used alike."""


@dataclass(frozen=True, slots=True)
class QuantizeSettings:
    """Item embeddings to semantic ids."""

    kind: Annotated[str, OneOf((OPQ, RQ, KMEANS, RQVAE, VQVAE, *NUMBERED))] = OPQ
    """`opq` quantizes parts of the embedding. `rq` (FAISS), `kmeans` (balanced clusters) and `rqvae` quantize level by
    level; `rqvae` and its single-level form `vqvae` the latent vectors of [autoencoder]. `random` and `sequential` read
    no content: items are numbered at random, or by their first place in the training sequences, and the digits of the
    number, in base `num_centroids`, are the codes."""
    num_codebooks: Positive = 4
    """With `opq` an upper bound: the largest number that splits an item embedding into equal parts."""
    num_centroids: Positive = 256
    """Upper bound per codebook; small catalogues get fewer."""
    min_items_per_centroid: Positive = 15
    """A codebook gets the largest power of two of centroids that keeps this mean: codes shared by few items carry
    little information."""
    num_iterations: Positive = 25
    """Of `opq` and `rq`."""
    balanced_last_level: bool = False
    """Spread catalogue items that share all codes but the last over the last codes. Posted items take the nearest."""
    collision: Annotated[str, OneOf((INDEX, HASH))] = INDEX
    """The feature that separates items of equal codes: `index` counts them from a hash of the codes, `hash` draws a
    random bucket for each, and a free one where two drew the same."""
    hash_buckets: Positive = 128
    """For `hash`; more where the items of equal codes would fill over half of them."""


@dataclass(frozen=True, slots=True)
class AutoencoderSettings:
    """The network of `quantize.kind=rqvae` and `vqvae`, and its losses."""

    width: Positive = 512
    """Of the encoder's first layer; each further one has half of it. The decoder mirrors them."""
    num_layers: Positive = 3
    latent_dim: Positive = 32
    learning_rate: LearningRate = 1e-3
    batch_size: Positive = 1024
    num_steps: Positive = 2000
    commitment: Amount = 0.25
    """Weight of the loss that pulls latent vectors to their centroids."""
    ema_decay: Share = 0.0
    """Centroids are moving averages of the vectors that use them, by this decay; 0 trains them by gradient."""
    prevent_collapse: bool = True
    """Start at clusters of the latent vectors, and revive codes that no item uses."""
    collaborative_weight: Amount = 0.0
    """LETTER's loss that brings items used alike together; 0 leaves it out."""
    diversity_weight: Amount = 0.0
    """LETTER's loss that spreads codes evenly; 0 leaves it out."""


@dataclass(frozen=True, slots=True)
class VocabularySettings:
    """Feature sets and training sequences to a vocabulary."""

    size: NotNegative = 0
    """Number of tokens, padding and end included; 0 means all features and `merges_per_item` rules per item."""
    merges_per_item: Amount = 0.1
    """Merge rules per catalogue item, at most 40,000 in total: more rules need more training examples to pay off."""
    max_sequences: NotNegative = 0
    """Learn from a seeded sample of this many sequences; 0 uses all."""
    max_mib: Positive = 4096
    """Memory that learning may take, in MiB. Where all sequences need more, it reads a seeded sample that fits."""
    spelling: Annotated[str, OneOf(tuple(Spelling))] = "shuffled"
    """`shuffled` features of an item merge; the others keep their order. `marked` opens each further modality's codes
    with a token; `languages` writes each modality on its own. These two need codes by modality, as late fusion has."""


@dataclass(frozen=True, slots=True)
class GeneratorSettings:
    """The kind of generator, and the shape of the T5."""

    kind: Annotated[str, OneOf((TOKEN, PARALLEL))] = TOKEN
    """`token`: a T5 generates an item token by token. `parallel`: a network predicts all codes at once, as in RPG; it
    reads [parallel], not this section or [fit]. It is best with 16 codebooks or more."""
    reads_content: bool = False
    """The T5 reads, at each token of an item, a linear map of its embedding too, as in LIGER. Needs content, and tokens
    that do not merge."""
    d_model: Positive = 64
    d_kv: Positive = 16
    d_ff: Positive = 256
    num_layers: Positive = 2
    num_heads: Positive = 4
    dropout_rate: Share = 0.05


@dataclass(frozen=True, slots=True)
class FitSettings:
    """Training of the T5."""

    softmax: Annotated[str, OneOf(tuple(Softmax))] = "reachable"
    """`reachable` scores a token against those that can follow it in the catalogue, `vocabulary` against all tokens."""

    learning_rate: LearningRate = 3e-3
    weight_decay: Amount = 0.01
    warmup_share: Share = 0.05
    label_smoothing: Share = 0.0
    batch_size: Positive = 64
    max_epochs: Positive = 30
    examples_per_epoch: NotNegative = 0
    """Train on a fresh seeded sample of this many prefixes per epoch; 0 uses every prefix."""
    max_user_examples: NotNegative = 100
    """Most examples of one user per epoch, drawn again for each, or 20 times the median user's if that is more; 0 sets
    no limit. Vocabulary, alignment, counts and repeats read as many of the user's newest items."""
    balance_users: bool = False
    """Weigh users equally, however long their histories, as the evaluation does. Needs examples_per_epoch."""
    patience: Positive = 3
    """Stop after this many epochs without a better validation NDCG@10."""
    max_minutes: Amount = 0.0
    """Stop at the end of the epoch that exceeds this; 0 is no limit."""
    max_history_items: Positive = 10
    validation_users: Positive = 500


@dataclass(frozen=True, slots=True)
class ParallelSettings:
    """Shape and training of the network, for `generator.kind=parallel`."""

    width: Positive = 128
    encoder: Annotated[str, OneOf((RECURRENT, TRANSFORMER))] = RECURRENT
    """Reader of histories; `transformer` has `num_layers` with `num_heads`."""
    num_layers: Positive = 2
    num_heads: Positive = 2
    search: Annotated[str, OneOf((EXACT, GRAPH))] = EXACT
    """`exact` scores every item. `graph` walks from semantic id to similar ones, as in RPG, in `graph_steps` steps that
    expand the best `evaluate.num_beams` of them."""
    graph_degree: Positive = 50
    """Similar semantic ids that each one leads to. Walks seldom reach groups of more similar ids than this."""
    graph_steps: Positive = 3
    items_loss: bool = True
    """Learn to score the next item among all, beside learning its codes."""
    dropout_rate: Share = 0.3
    learning_rate: LearningRate = 2e-3
    weight_decay: Amount = 0.01
    warmup_share: Share = 0.05
    positions_per_batch: Positive = 1000
    examples_per_epoch: NotNegative = 2_000_000
    """As `dense.examples_per_epoch`."""
    max_user_examples: NotNegative = 100
    """As `fit.max_user_examples`, in whole windows."""
    max_epochs: Positive = 15
    patience: Positive = 4
    """Stop after this many epochs without a better validation NDCG@10."""
    max_history_items: Positive = 20
    validation_users: Positive = 2000


@dataclass(frozen=True, slots=True)
class DenseSettings:
    """The dense head: scores all items at once from a history."""

    dim: NotNegative = 64
    """Length of an item vector; 0 leaves out the dense head and all that is ranked together with the generator."""
    encoder: Annotated[str, OneOf((RECURRENT, TRANSFORMER, AUTO))] = RECURRENT
    """History encoder: `recurrent` of `width` units, `transformer` of `num_layers` with `num_heads`, or `auto`, which
    trains both and keeps the better one on validation."""
    width: Positive = 128
    num_layers: Positive = 2
    num_heads: Positive = 2
    dropout_rate: Share = 0.3
    own_dropout: Share = 0.3
    """Share of items trained as if just posted, drawn again for each batch."""
    held_out_share: Share = 0.1
    """Share of items whose content no model is fitted on: they measure how posted items will rank."""
    learning_rate: LearningRate = 2e-3
    weight_decay: Amount = 0.0
    positions_per_batch: Positive = 1500
    max_softmax_items: NotNegative = 20_000
    """With more training items, the softmax is over those of the batch and some thousands drawn for each step."""
    examples_per_epoch: NotNegative = 2_000_000
    """Train on a fresh seeded sample of windows with this many targets per epoch; 0 uses all."""
    max_user_examples: NotNegative = 100
    """As `fit.max_user_examples`, in whole windows."""
    max_epochs: Positive = 20
    patience: Positive = 4
    """Stop after this many epochs without a better validation NDCG@10."""
    max_history_items: Positive = 50
    validation_users: Positive = 2000


@dataclass(frozen=True, slots=True)
class MixSettings:
    """Joint ranking of generator, dense head and co-occurrence counts."""

    kind: Annotated[str, OneOf((FITTED, DENSE_RERANKS))] = FITTED
    """`fitted` learns weights of all components. `dense_reranks` orders the generator's items, and all items without
    training interactions, by the dense head, as in LIGER; it reads no other setting of this section."""
    max_users: NotNegative = 25_000
    """Fit the weights on at most this many validation users, the same for every seed; 0 takes all."""
    max_ease_items: NotNegative = 20_000
    """EASE of more items is sparse: each is solved on its 200 strongest pairs, not by inverting a square of items."""
    ease_weights_per_item: Positive = 300
    """Keep this many of the strongest weights per item."""
    pairs_per_item: Positive = 300
    """Keep the counts of this many items per item that share most users with it."""
    most_lost_to_new: Share = 0.1
    """Share of the other items' Recall@10 that may be lost while `dense.held_out_share` of the items compete as new."""


@dataclass(frozen=True, slots=True)
class DislikesSettings:
    """Items like one that the user dislikes."""

    strength: Amount = 1.0
    """How far the log-probability of an item falls at similarity 1 to a disliked one. Validation users with dislikes
    choose another number."""


@dataclass(frozen=True, slots=True)
class EvaluateSettings:
    """How recommendations are made for measurement."""

    num_views: Positive = 3
    """Of a history, in the widest search; the mixture is fitted on it."""
    num_beams: Positive = 50
    """Per view. Where a cheaper search is as accurate, that one is measured and served."""
    max_users: NotNegative = 25_000
    """Measure on a seeded sample of this many users; 0 uses all."""
    num_resamples: Positive = 1000
    """Bootstrap resamples over users behind each interval."""


@dataclass(frozen=True, slots=True)
class Preset:
    """The settings of all stages under one name; each stage reads its own section."""

    name: str
    about: About = field(default_factory=About, compare=False)
    dataset: DatasetSettings = field(default_factory=DatasetSettings)
    split: SplitSettings = field(default_factory=SplitSettings)
    encode: EncodeSettings = field(default_factory=EncodeSettings)
    fuse: FuseSettings = field(default_factory=FuseSettings)
    align: AlignSettings = field(default_factory=AlignSettings)
    quantize: QuantizeSettings = field(default_factory=QuantizeSettings)
    autoencoder: AutoencoderSettings = field(default_factory=AutoencoderSettings)
    vocabulary: VocabularySettings = field(default_factory=VocabularySettings)
    generator: GeneratorSettings = field(default_factory=GeneratorSettings)
    fit: FitSettings = field(default_factory=FitSettings)
    parallel: ParallelSettings = field(default_factory=ParallelSettings)
    dense: DenseSettings = field(default_factory=DenseSettings)
    mix: MixSettings = field(default_factory=MixSettings)
    dislikes: DislikesSettings = field(default_factory=DislikesSettings)
    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)

    def as_dict(self) -> dict[str, Any]:
        """Plain nested dictionaries, ready for JSON; without `about`, on which no result depends."""
        return {name: part for name, part in dataclasses.asdict(self).items() if name != "about"}
