"""Build the first recommender of a catalogue, from a checkpoint or from parts. Start at `load_recommender`."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Real

from clairo_core.catalogue import Catalogue
from clairo_core.errors import GeneratorError
from clairo_core.generation.item_generator import ItemGenerator
from clairo_core.generation.parallel.parallel_checkpoint import holds_network, load_links, load_network
from clairo_core.generation.parallel.parallel_generator import parallel_generator
from clairo_core.generation.recorded.cuda_graphs import CudaRecorder, Recorder
from clairo_core.generation.recorded.recorded_search import SearchSizes, record_search
from clairo_core.generation.t5.generator import Generator, choose_device, dtype_of, load_generator
from clairo_core.generation.token_generator import TokenGenerator, num_items_kept
from clairo_core.generation.trie.device_trie import DeviceTrie
from clairo_core.generation.trie.trie import trie_of_tokens
from clairo_core.ranking import NO_LIFTS, JointRanking, RepeatLifts
from clairo_core.recommender import Recommender
from clairo_core.request_chunks import REQUESTS_AT_ONCE_ON_GPU
from clairo_core.selection.popular_items import popular_items
from clairo_core.serving_points import DEFAULT_POINT, ServingPoint, same_for_all
from clairo_core.storage.growing_rows import GrowingRows
from clairo_core.tokens.tokenizer import Tokenizer


def load_recommender(
    generator_folder: Path,
    tokenizer: Tokenizer,
    catalogue: Catalogue,
    popularity: Real[np.ndarray, "item"],
    *,
    device: str | torch.device = "auto",
    dtype: str = "float32",
    num_views: int = DEFAULT_POINT.num_views,
    num_beams: int = DEFAULT_POINT.num_beams,
    max_history_items: int = 20,
    joint_ranking: JointRanking | None = None,
    repeat_lifts: RepeatLifts = NO_LIFTS,
    item_embeddings: Float[np.ndarray, "item dim"] | None = None,
    cuda_graphs: bool = True,
) -> Recommender:
    """Load a checkpoint of either kind and build a recommender around it; see `build_recommender`.

    On a CUDA GPU a T5's search is recorded as CUDA graphs and replayed, unless `cuda_graphs` is false.

    Args:
        generator_folder: a T5 for `load_generator`, or a network for `load_network`.
        tokenizer: of the vocabulary that the T5 was trained with.
        catalogue: items that can be recommended.
        popularity: as for `build_recommender`.
        device: as for `load_generator`.
        dtype: as for `load_generator`.
        num_views: per history.
        num_beams: per view.
        max_history_items: that a T5 reads; a network knows its own.
        joint_ranking: on any device.
        repeat_lifts: for items of the history.
        item_embeddings: by catalogue row; for a T5 that reads content.
        cuda_graphs: record a T5's search.

    Raises:
        GeneratorError: the checkpoint cannot be used, or was trained with another vocabulary, other codes, or item
            embeddings that are not there.
    """
    if holds_network(generator_folder):
        network = load_network(generator_folder).to(choose_device(device), dtype_of(dtype))
        return recommender_of(
            parallel_generator(network, catalogue, load_links(generator_folder)),
            catalogue,
            tokenizer,
            popularity,
            num_views=num_views,
            num_beams=num_beams,
            joint_ranking=joint_ranking,
            repeat_lifts=repeat_lifts,
        )
    generator = load_generator(generator_folder, device, dtype=dtype)
    if generator.config.vocab_size != tokenizer.vocabulary.size:
        raise GeneratorError(
            f"{generator_folder}: the generator has {generator.config.vocab_size} tokens, expected the vocabulary's "
            f"{tokenizer.vocabulary.size}; use the vocabulary that the generator was trained with"
        )
    return build_recommender(
        catalogue,
        tokenizer,
        generator,
        popularity,
        num_views=num_views,
        num_beams=num_beams,
        max_history_items=max_history_items,
        joint_ranking=joint_ranking,
        repeat_lifts=repeat_lifts,
        item_embeddings=item_embeddings,
        recorder=CudaRecorder(generator.device) if cuda_graphs and generator.device.type == "cuda" else None,
    )


def build_recommender(
    catalogue: Catalogue,
    tokenizer: Tokenizer,
    generator: Generator,
    popularity: Real[np.ndarray, "item"],
    *,
    num_views: int = DEFAULT_POINT.num_views,
    num_beams: int = DEFAULT_POINT.num_beams,
    max_history_items: int = 20,
    joint_ranking: JointRanking | None = None,
    repeat_lifts: RepeatLifts = NO_LIFTS,
    item_embeddings: Float[np.ndarray, "item dim"] | None = None,
    recorder: Recorder | None = None,
) -> Recommender:
    """Build the first recommender of a catalogue around a T5; `Recommender` documents the parts.

    Args:
        catalogue: items that can be recommended.
        tokenizer: of the vocabulary that the generator was trained with.
        generator: generates items' tokens.
        popularity: users or interactions in training, by row; rows past its end have none.
        num_views: per history, for every quality; `Recommender.with_points` tells them apart.
        num_beams: per view.
        max_history_items: as in training.
        joint_ranking: on any device; it is moved to the generator's.
        repeat_lifts: for items of the history.
        item_embeddings: by catalogue row; for a T5 that reads content.
        recorder: records the search now, for replay on a GPU; None, several languages, or a T5 that reads content,
            searches step by step.

    Raises:
        GeneratorError: the T5 reads content, and embeddings are missing or of another length, or the vocabulary
            merges tokens of items or has several languages.
    """
    languages = tokenizer.vocabulary.languages
    read = None
    if generator.config.content_dim:
        read = embeddings_to_read(generator.config.content_dim, item_embeddings, catalogue, tokenizer)
    tokens = [catalogue.canonical_in(language, tokenizer) for language in languages]
    tries = tuple(DeviceTrie(trie_of_tokens(canonical, catalogue.is_retired), generator) for canonical in tokens)
    recorded_search = None
    if recorder is not None and len(languages) == 1 and read is None:
        longest_view = max_history_items * len(languages[0].places) + 1
        num_items = num_items_kept(tries[0], num_beams)
        sizes = SearchSizes(num_views, num_beams, num_items, REQUESTS_AT_ONCE_ON_GPU, longest_view)
        recorded_search = record_search(generator, tries[0], sizes, recorder)
    token_generator = TokenGenerator(
        catalogue=catalogue,
        tokenizer=tokenizer,
        t5=generator,
        tries=tries,
        max_history_items=max_history_items,
        recorded_search=recorded_search,
        item_embeddings=read,
    )
    return recommender_of(
        token_generator,
        catalogue,
        tokenizer,
        popularity,
        num_views=num_views,
        num_beams=num_beams,
        joint_ranking=joint_ranking,
        repeat_lifts=repeat_lifts,
    )


def embeddings_to_read(
    content_dim: int,
    item_embeddings: Float[np.ndarray, "item dim"] | None,
    catalogue: Catalogue,
    tokenizer: Tokenizer,
) -> GrowingRows:
    """The embeddings that a T5 reads beside the tokens of a catalogue's items.

    Raises:
        GeneratorError: see `build_recommender`.
    """
    expected, found = (len(catalogue), content_dim), None if item_embeddings is None else item_embeddings.shape
    if item_embeddings is None or found != expected:
        raise GeneratorError(
            f"the T5 reads item embeddings of shape {expected}, got {found}; use those of the bundle that holds it"
        )
    if len(tokenizer.vocabulary.left) or len(tokenizer.vocabulary.languages) > 1:
        raise GeneratorError(
            f"the T5 reads item embeddings beside the tokens of each item, but the vocabulary has "
            f"{len(tokenizer.vocabulary.left)} merge rules and {len(tokenizer.vocabulary.languages)} languages, "
            "expected 0 and 1; use the vocabulary that it was trained with"
        )
    return GrowingRows.without_copy(np.ascontiguousarray(item_embeddings, dtype=np.float32))


def recommender_of(
    generator: ItemGenerator,
    catalogue: Catalogue,
    tokenizer: Tokenizer,
    popularity: Real[np.ndarray, "item"],
    *,
    num_views: int,
    num_beams: int,
    joint_ranking: JointRanking | None,
    repeat_lifts: RepeatLifts,
) -> Recommender:
    """A recommender around a generator of any kind; see `build_recommender`."""
    return Recommender(
        catalogue=catalogue,
        tokenizer=tokenizer,
        generator=generator,
        popular=popular_items(popularity, len(catalogue)),
        points=same_for_all(ServingPoint(num_views, num_beams)),
        joint_ranking=joint_ranking and joint_ranking.on(generator.device),
        repeat_lifts=repeat_lifts,
    )
