"""The rivals of `speed.generate`: transformers' generate with a prefix function, and the published loop."""

from collections.abc import Callable

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import T5ForConditionalGeneration

from clairo_core.tokens.tokenizer import TokenBatch
from clairo_core.tokens.vocabulary import EOS, PAD


def generate_with_prefix_function(
    model: T5ForConditionalGeneration, views: TokenBatch, canonical: TokenBatch, num_beams: int
) -> Callable[[], Int[Tensor, "view*beam output"]]:
    """Build transformers' constrained beam search as a call; its trie is built here, outside the measurement."""
    next_tokens: dict[tuple[int, ...], list[int]] = {}
    for row in range(len(canonical)):
        tokens = [*canonical[row].tolist(), EOS]
        for length, token in enumerate(tokens):
            following = next_tokens.setdefault(tuple(tokens[:length]), [])
            if token not in following:
                following.append(token)

    def allowed(_: int, written: Tensor) -> list[int]:
        # The first token starts the decoder; finished beams are padded.
        return next_tokens.get(tuple(written[1:].tolist()), [PAD])

    ids, mask = inputs_of(views)
    longest = int(canonical.lengths.max())

    def call() -> Int[Tensor, "view*beam output"]:
        with torch.inference_mode():
            outputs: Int[Tensor, "view*beam output"] = model.generate(
                input_ids=ids,
                attention_mask=mask,
                num_beams=num_beams,
                num_return_sequences=num_beams,
                max_new_tokens=longest + 1,
                do_sample=False,
                length_penalty=0.0,
                early_stopping=False,
                prefix_allowed_tokens_fn=allowed,
            )
        return outputs

    return call


def published_loop(
    model: T5ForConditionalGeneration, views: TokenBatch, num_tokens: int, num_beams: int
) -> Callable[[], Int[Tensor, "view beam output"]]:
    """Build ActionPiece's own beam search as a call: every beam is encoded again, without cache or constraint."""
    ids, mask = inputs_of(views)

    def call() -> Int[Tensor, "view beam output"]:
        num_views = len(ids)
        rows, row_mask = ids.repeat_interleave(num_beams, dim=0), mask.repeat_interleave(num_beams, dim=0)
        written = torch.full((num_views * num_beams, 1), PAD)
        # All beams of a view start alike, so only the first may continue in the first step.
        scores = torch.full((num_views, num_beams), float("-inf"))
        scores[:, 0] = 0.0
        with torch.inference_mode():
            encoded = model.encoder(input_ids=rows, attention_mask=row_mask)
            for _ in range(num_tokens):
                logits = model(
                    encoder_outputs=encoded,
                    attention_mask=row_mask,
                    decoder_input_ids=written,
                    use_cache=False,
                ).logits[:, -1]
                vocab_size = logits.shape[-1]
                continued = scores.view(-1, 1) + torch.log_softmax(logits, dim=-1)
                scores, best = continued.view(num_views, -1).topk(num_beams, dim=1)
                parents = best // vocab_size + num_beams * torch.arange(num_views)[:, None]
                written = torch.cat([written[parents.view(-1)], (best % vocab_size).view(-1, 1)], dim=1)
        return written.view(num_views, num_beams, -1)[:, :, 1:]

    return call


def inputs_of(views: TokenBatch) -> tuple[Int[Tensor, "view length"], Int[Tensor, "view length"]]:
    """Token ids and attention mask in transformers' form."""
    ids = torch.from_numpy(views.ids).long()
    mask = torch.arange(ids.shape[1])[None, :] < torch.from_numpy(views.lengths)[:, None]
    return ids, mask.long()
