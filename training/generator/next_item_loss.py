"""Loss of the next item's tokens, against those that can follow in the catalogue or against the whole vocabulary.

Start at `NextItemLoss`.
"""

from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional
from transformers import T5ForConditionalGeneration

from clairo_core.generation.t5.content_inputs import content_inputs
from clairo_core.generation.t5.generator_checkpoint import Softmax
from clairo_core.tokens.vocabulary import PAD
from training.generator.examples import TrainingBatch
from training.generator.lean_t5 import Decoded, LeanT5, ToDecode
from training.generator.token_choices import TokenChoices
from training.losses.full_softmax_loss import full_softmax_loss


class NextItemLoss:
    """The weighted mean over examples of minus the log-probability of the target's tokens, in nats per item.

    `reachable` is our own: the softmax runs over the tokens that lead to an item, as in the beam search. The
    probabilities of all items sum to 1, and tokens without an alternative cost nothing. `vocabulary` is ActionPiece's
    (Hou et al. 2025): every token competes with the whole vocabulary.
    """

    def __init__(
        self,
        softmax: Softmax,
        choices: TokenChoices,
        label_smoothing: float,
        device: torch.device,
    ) -> None:
        self.softmax = softmax
        self.label_smoothing = label_smoothing
        self.device = device
        self.first_option = torch.from_numpy(choices.first_option).to(device)
        self.options = torch.from_numpy(choices.options).to(device, torch.long)
        self.nodes = torch.from_numpy(choices.nodes).to(device, torch.long)
        self.num_steps = torch.from_numpy(choices.num_steps).to(device)

    def __call__(self, model: T5ForConditionalGeneration, batch: TrainingBatch) -> Float[Tensor, ""]:
        """The loss of one batch."""
        targets = torch.from_numpy(batch.targets).to(self.device, torch.long)
        labels = torch.from_numpy(batch.labels).to(self.device, torch.long)
        weights = None if batch.weights is None else torch.from_numpy(batch.weights).to(self.device)
        total = (
            self.reachable_loss(model, batch, targets, labels, weights)
            if self.softmax is Softmax.REACHABLE
            else self.vocabulary_loss(model, batch, labels, weights)
        )
        return total / (len(labels) if weights is None else weights.sum())

    def vocabulary_loss(
        self,
        model: T5ForConditionalGeneration,
        batch: TrainingBatch,
        labels: Int[Tensor, "example step"],
        weights: Float[Tensor, "example"] | None,
    ) -> Float[Tensor, ""]:
        """The weighted sum over labels of the cross-entropy among all tokens."""
        is_label = labels != PAD
        hidden, _ = self.decoded(model, batch, labels, is_label, labels.new_empty(0))
        of_labels = None if weights is None else weights[is_label.nonzero()[:, 0]]
        if self.device.type == "cpu":
            return full_softmax_loss(hidden, model.shared.weight, labels[is_label], self.label_smoothing, of_labels)
        logits = functional.linear(hidden, model.shared.weight)
        return self.cross_entropy(logits, labels[is_label], of_labels)

    def cross_entropy(
        self, logits: Float[Tensor, "row option"], labels: Int[Tensor, "row"], weights: Float[Tensor, "row"] | None
    ) -> Float[Tensor, ""]:
        """The weighted sum over rows."""
        of_rows = partial(functional.cross_entropy, logits.float(), labels, label_smoothing=self.label_smoothing)
        loss: Float[Tensor, ""] = of_rows(reduction="sum") if weights is None else weights @ of_rows(reduction="none")
        return loss

    def reachable_loss(
        self,
        model: T5ForConditionalGeneration,
        batch: TrainingBatch,
        targets: Int[Tensor, "example"],
        labels: Int[Tensor, "example step"],
        weights: Float[Tensor, "example"] | None,
    ) -> Float[Tensor, ""]:
        """The weighted sum over labels of the cross-entropy among the tokens possible in their place."""
        num_steps = self.num_steps[targets]
        labels = labels[:, : int(num_steps.max())]
        is_step = torch.arange(labels.shape[1], device=self.device)[None, :] < num_steps[:, None]
        # All examples share the first tokens: one product for the whole batch.
        first_tokens = self.options[: int(self.first_option[1])]
        nodes = self.nodes[targets, : labels.shape[1]]
        is_choice = nodes >= 0
        is_choice[:, 0] = False
        choice, tokens = self.options_of(nodes[is_choice])
        hidden, embeddings = self.decoded(model, batch, labels, is_step, torch.cat([first_tokens, tokens]))
        total = self.cross_entropy(
            functional.linear(hidden[num_steps.cumsum(0) - num_steps], embeddings[: len(first_tokens)]),
            torch.searchsorted(first_tokens, labels[:, 0].contiguous()),
            weights,
        )
        if not len(tokens):
            return total
        before_choices = hidden[is_choice[is_step]]
        logits = torch.linalg.vecdot(before_choices[choice], embeddings[len(first_tokens) :]).float()
        losses = self.choice_losses(logits, choice, tokens == labels[is_choice][choice], int(is_choice.sum()))
        return total + (losses.sum() if weights is None else weights[is_choice.nonzero()[:, 0]] @ losses)

    def options_of(self, nodes: Int[Tensor, "choice"]) -> tuple[Int[Tensor, "option"], Int[Tensor, "option"]]:
        """Each option's choice and token."""
        begins = self.first_option[nodes]
        num_options = self.first_option[nodes + 1] - begins
        choice = torch.repeat_interleave(torch.arange(len(nodes), device=self.device), num_options)
        place = torch.arange(len(choice), device=self.device) - (num_options.cumsum(0) - num_options)[choice]
        return choice, self.options[begins[choice] + place]

    def choice_losses(
        self,
        logits: Float[Tensor, "option"],
        choice: Int[Tensor, "option"],
        is_label: Bool[Tensor, "option"],
        num_choices: int,
    ) -> Float[Tensor, "choice"]:
        """Each choice's cross-entropy among its options."""
        highest = torch.full((num_choices,), float("-inf"), device=self.device)
        highest.scatter_reduce_(0, choice, logits.detach(), "amax")
        sums = torch.zeros_like(highest).index_add(0, choice, (logits - highest[choice]).exp())
        wanted = torch.zeros_like(highest).index_add(0, choice, torch.where(is_label, logits, 0.0))
        if self.label_smoothing:
            means = torch.zeros_like(highest).index_add(0, choice, logits) / torch.bincount(choice)
            wanted = (1 - self.label_smoothing) * wanted + self.label_smoothing * means
        return sums.log() + highest - wanted

    def decoded(
        self,
        model: T5ForConditionalGeneration,
        batch: TrainingBatch,
        labels: Int[Tensor, "example step"],
        is_step: Bool[Tensor, "example step"],
        tokens: Int[Tensor, "token"],
    ) -> Decoded:
        """The decoder's hidden states before the labels in `is_step`, and the embeddings of further tokens.

        T5 scales its output by d_model^-0.5 because input and output embeddings share a matrix.
        """
        input_ids = torch.from_numpy(batch.input_ids).to(self.device, torch.long)
        lengths = torch.from_numpy(batch.input_lengths).to(self.device)
        is_input = torch.arange(input_ids.shape[1], device=self.device)[None, :] < lengths[:, None]
        content = None if batch.content is None else torch.from_numpy(batch.content).to(self.device)
        wanted = ToDecode(input_ids, is_input, labels, is_step, tokens, content)
        is_lean = self.device.type == "cpu"
        hidden, embeddings = LeanT5(model).decoded(wanted) if is_lean else plainly_decoded(model, wanted)
        return hidden * model.config.d_model**-0.5, embeddings


def plainly_decoded(model: T5ForConditionalGeneration, wanted: ToDecode) -> Decoded:
    """`LeanT5.decoded` as transformers computes it."""
    embedded = functional.embedding(wanted.input_ids, model.shared.weight)
    if wanted.content is not None:
        projection = model.content_projection.weight
        embedded = embedded + content_inputs(wanted.content, projection, wanted.input_ids.shape[1])
    encoded = model.encoder(inputs_embeds=embedded, attention_mask=wanted.is_input).last_hidden_state
    states: Float[Tensor, "example step d_model"] = model.decoder(
        input_ids=functional.pad(wanted.labels[:, :-1], (1, 0), value=PAD),
        encoder_hidden_states=encoded,
        encoder_attention_mask=wanted.is_input,
        use_cache=False,
    ).last_hidden_state
    return states[wanted.is_step], functional.embedding(wanted.tokens, model.shared.weight)
