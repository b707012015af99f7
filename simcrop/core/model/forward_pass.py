"""One pass of a batch through the network: its parts are computed once, and only if an objective asks for them."""

from functools import cached_property
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from simcrop.core.data.batch import Batch, of_similar_length
from simcrop.core.objectives.alignment import selected_means
from simcrop.core.objectives.losses import Counts
from simcrop.core.objectives.objective import Matched, Sentences, sentence_means
from simcrop.core.ports import Communicator

if TYPE_CHECKING:
    from simcrop.core.model.simcrop import SimCroP

_READ_TOGETHER = 8
"""Masked reports of similar length that a CPU reads at a time."""


class ForwardPass:
    """`objectives.objective.Pass` of one model."""

    def __init__(self, network: "SimCroP", batch: Batch, communicator: Communicator, counts: Counts) -> None:
        self.objectives, self.model, self.ops = network.objectives, network.recipe, network.ops
        self.batch, self.communicator, self.num_studies = batch, communicator, counts.studies
        self._network, self._longest = network, counts.longest

    def module(self, name: str) -> nn.Module:
        return self._network.get_submodule(name)

    def contextual(self) -> Matched:
        return self._contextual

    def aligned(self) -> Float[Tensor, "B S dim"]:
        return self._aligned

    def local(self) -> Matched:
        return self._contextual if self._network.local is None else self._local

    def scan(self) -> Float[Tensor, "B 1 dim"] | None:
        head = self._network.scan_head
        return None if head is None else head(self._tokens[:, 1:].mean(1, keepdim=True))

    @cached_property
    def _local(self) -> Matched:
        network, inputs = self._network, self.batch.inputs
        assert network.local is not None
        assert network.local_text_head is not None
        volume, draws = self.batch.volume, inputs.local_draws
        ids = None if draws is None else network.local.draw(volume, draws)
        sentences = network.local_text_head(self._means(self._findings)) * inputs.sentence_mask[..., None]
        return network.local(volume, ids), self._sentences(sentences)

    @cached_property
    def _contextual(self) -> Matched:
        network, volume = self._network, self.batch.volume
        assert network.text_head is not None
        patches = network.contextual_features(self._tokens, volume, self.batch.inputs.ids_keep)
        return patches, self._sentences(self._means(network.text_head(self._findings)))

    @cached_property
    def _aligned(self) -> Float[Tensor, "B S dim"]:
        drawn = self.batch.inputs.padding_patches
        return selected_means(*self._contextual, self.objectives.alignment, ops=self.ops, padding_patches=drawn)

    def patch_tokens(self) -> Float[Tensor, "B L E"]:
        return self._tokens[:, 1:]

    def predicted_patches(self) -> Float[Tensor, "B M P"]:
        assert self._network.decoder is not None
        inputs = self.batch.inputs
        return self._network.decoder(self._tokens, inputs.ids_keep, inputs.ids_masked)

    def predicted_tokens(self, wanted: Int64[Tensor, "n"] | None) -> Float[Tensor, "n vocab"]:
        network, report = self._network, self.batch.inputs.report
        assert network.text_decoder is not None
        recipe = self.objectives.report
        if report.mask.is_cuda or (recipe.mask, recipe.loss) != ("real", "masked"):
            words = self._fused(report.input_ids, report.mask, slice(None))
        else:  # no padding is predicted, and a CPU's time goes by how much of it there is
            groups = of_similar_length(report.lengths, _READ_TOGETHER)
            words = torch.cat([self._fused_alone(rows) for rows in groups])
            order = [row for rows in groups for row in rows]
            words = words[[order.index(row) for row in range(len(order))]]
        return network.text_decoder.predict(words, wanted)

    def _fused_alone(self, rows: list[int]) -> Float[Tensor, "n T dim"]:
        """The words of some reports, read without the padding that the longest of all makes the others need."""
        report = self.batch.inputs.report
        longest = max(report.lengths[row] for row in rows)
        words = self._fused(report.input_ids[rows, :longest], report.mask[rows, :longest], rows)
        return F.pad(words, (0, 0, 0, report.mask.shape[1] - longest))

    def _fused(
        self, ids: Int64[Tensor, "n T"], mask: Bool[Tensor, "n T"], rows: list[int] | slice
    ) -> Float[Tensor, "n T dim"]:
        """Words of the masked reports of some rows of the batch, that have read the patches."""
        network = self._network
        assert network.report_head is not None
        assert network.fusion is not None
        assert network.text_decoder is not None
        factor = self.objectives.report.aligned_key
        extra = factor * self._aligned[rows].mean(1, keepdim=True) if factor else None
        words = network.report_head(network.read_text(ids, mask))
        words = network.fusion(words, mask, self._tokens[rows, 1:], extra)
        return network.text_decoder.read(words, mask)

    @cached_property
    def _tokens(self) -> Float[Tensor, "B L+1 E"]:
        return self._network.encoder(self.batch.volume, self.batch.inputs.ids_keep)

    @cached_property
    def _findings(self) -> Float[Tensor, "B T hidden"]:
        inputs = self.batch.inputs
        known = inputs.findings_features
        return self._network.read_findings(inputs.findings) if known is None else known.float()

    def _means(self, tokens: Float[Tensor, "B T dim"]) -> Float[Tensor, "B S dim"]:
        inputs = self.batch.inputs
        return sentence_means(tokens, inputs.findings.sentence_of_token, inputs.sentence_mask.shape[1])

    def _sentences(self, features: Float[Tensor, "B S dim"]) -> Sentences:
        inputs = self.batch.inputs
        meaning = self._means(self._findings) if self._network.text_recipe.is_frozen else None
        texts = inputs.sentence_mask, inputs.sentence_keys, inputs.study_keys
        return Sentences(features, *texts, meaning, self._longest)
