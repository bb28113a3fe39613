"""Score the next item's tokens: against those that can follow in the catalogue, or against the whole vocabulary.

Knows T5's layers, labels and choices; knows nothing of optimizers, epochs or files. Start at `NextItemLoss`.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from transformers import T5ForConditionalGeneration

from clairo_core.generation.generator_checkpoint import Softmax
from clairo_core.vocabulary import PAD
from training.full_softmax_loss import full_softmax_loss
from training.generator.examples import TrainingBatch
from training.generator.token_choices import TokenChoices


class NextItemLoss:
    """The mean over examples of minus the log-probability of the target's tokens, in nats an item.

    `reachable` is our own: the softmax runs over the tokens that lead on to an item, as when the beam search scores,
    so that the probabilities of all items sum to 1 and what is certain costs nothing. `vocabulary` is ActionPiece's
    (Hou et al. 2025): every token counts against the whole vocabulary.
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
        if self.softmax is Softmax.REACHABLE:
            labels = labels[:, : int(self.num_steps[targets].max())]
        # T5 scales the output by d_model^-0.5 because input and output embeddings are one matrix.
        hidden = decoded(model, batch, labels, self.device) * model.config.d_model**-0.5
        if self.softmax is Softmax.VOCABULARY:
            is_label = labels != PAD
            if self.device.type == "cpu":
                total = full_softmax_loss(hidden[is_label], model.shared.weight, labels[is_label], self.label_smoothing)
            else:
                logits = functional.linear(hidden[is_label], model.shared.weight)
                total = functional.cross_entropy(
                    logits.float(), labels[is_label], label_smoothing=self.label_smoothing, reduction="sum"
                )
        else:
            # All examples choose among the same first tokens: one product for the whole batch.
            first_tokens = self.options[: int(self.first_option[1])]
            total = functional.cross_entropy(
                functional.linear(hidden[:, 0], model.shared.weight[first_tokens]).float(),
                torch.searchsorted(first_tokens, labels[:, 0].contiguous()),
                label_smoothing=self.label_smoothing,
                reduction="sum",
            )
            nodes = self.nodes[targets, : labels.shape[1]]
            is_choice = nodes >= 0
            is_choice[:, 0] = False
            if labels.shape[1] > 1:
                total = total + self.choices_loss(
                    hidden[is_choice], nodes[is_choice], labels[is_choice], model.shared.weight
                )
        return total / len(labels)

    def choices_loss(
        self,
        hidden: Float[Tensor, "choice d_model"],
        nodes: Int[Tensor, "choice"],
        labels: Int[Tensor, "choice"],
        embeddings: Float[Tensor, "token d_model"],
    ) -> Float[Tensor, ""]:
        """The sum over choices of the cross-entropy among each one's own options."""
        begins = self.first_option[nodes]
        num_options = self.first_option[nodes + 1] - begins
        choice = torch.repeat_interleave(torch.arange(len(nodes), device=self.device), num_options)
        place = torch.arange(len(choice), device=self.device) - (num_options.cumsum(0) - num_options)[choice]
        tokens = self.options[begins[choice] + place]
        logits = torch.linalg.vecdot(hidden[choice], embeddings[tokens]).float()
        highest = torch.full((len(nodes),), float("-inf"), device=self.device)
        highest.scatter_reduce_(0, choice, logits.detach(), "amax")
        sums = torch.zeros_like(highest).index_add(0, choice, (logits - highest[choice]).exp())
        is_label = tokens == labels[choice]
        wanted = torch.zeros_like(highest).index_add(0, choice, torch.where(is_label, logits, 0.0))
        if self.label_smoothing:
            means = torch.zeros_like(highest).index_add(0, choice, logits) / num_options
            wanted = (1 - self.label_smoothing) * wanted + self.label_smoothing * means
        return (sums.log() + highest - wanted).sum()


def decoded(
    model: T5ForConditionalGeneration, batch: TrainingBatch, labels: Int[Tensor, "example step"], device: torch.device
) -> Float[Tensor, "example step d_model"]:
    """The decoder's hidden states before each label token."""
    input_ids = torch.from_numpy(batch.input_ids).to(device, torch.long)
    lengths = torch.from_numpy(batch.input_lengths).to(device)
    mask = torch.arange(input_ids.shape[1], device=device)[None, :] < lengths[:, None]
    encoded = model.encoder(input_ids=input_ids, attention_mask=mask).last_hidden_state
    states: Float[Tensor, "example step d_model"] = model.decoder(
        input_ids=functional.pad(labels[:, :-1], (1, 0), value=PAD),
        encoder_hidden_states=encoded,
        encoder_attention_mask=mask,
        use_cache=False,
    ).last_hidden_state
    return states
