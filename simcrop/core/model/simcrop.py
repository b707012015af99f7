"""SimCroP: one pass over a masked volume feeds all objectives (docs/method.md, sections 2 to 6)."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from simcrop.core.data.study import Batch
from simcrop.core.errors import InputError
from simcrop.core.model.decoder import VolumeDecoder
from simcrop.core.model.encoder import VisionEncoder, initialize
from simcrop.core.model.fusion import FusionLayer, ProjectionHead
from simcrop.core.model.patches import AnyVolume, holds_tissue
from simcrop.core.model.text_decoder import TextDecoder
from simcrop.core.objectives.alignment import Sentences, alignment_loss, sentence_means
from simcrop.core.objectives.late_interaction import LateInteraction
from simcrop.core.objectives.losses import Counts, reconstruction_share, report_share, wanted_tokens
from simcrop.core.ops import Ops
from simcrop.core.ports import Communicator, Tokenizer
from simcrop.core.recipe import TERMS, ModelRecipe, ObjectivesRecipe, TextEncoderRecipe


class SimCroP(nn.Module):
    """Vision encoder, text encoder, and the parts of the objectives whose weight is above 0.

    Attributes:
        tokenizer: of the text encoder; set where the model was loaded for use.

    Args:
        model: sizes.
        objectives: which terms there are, and how each is computed.
        text: whether the text encoder is frozen.
        text_encoder: a `ports.TextEncoder` that is an nn.Module.
        vocab_size: of its tokenizer.
        ops: implementation of the accelerated operations.
    """

    def __init__(
        self,
        model: ModelRecipe,
        objectives: ObjectivesRecipe,
        text: TextEncoderRecipe,
        *,
        text_encoder: nn.Module,
        vocab_size: int,
        ops: Ops,
    ) -> None:
        super().__init__()
        self.recipe, self.objectives, self.text_recipe, self.ops = model, objectives, text, ops
        self.tokenizer: Tokenizer | None = None
        self.encoder = VisionEncoder(model, ops)
        self.text_encoder = text_encoder if self.reads_reports else None
        hidden: int = text_encoder.hidden_size  # pyright: ignore[reportAssignmentType]
        dim = model.projection_dim
        self.decoder = VolumeDecoder(model) if objectives.reconstruction.weight else None
        self.image_head = ProjectionHead(model.embed_dim, dim) if self.aligns else None
        self.text_head = ProjectionHead(hidden, dim) if self.aligns else None
        self.late_interaction = (
            LateInteraction(objectives.late_interaction, ops) if objectives.late_interaction.weight else None
        )
        reports = objectives.report.weight > 0
        self.report_head = ProjectionHead(hidden, dim) if reports else None
        self.fusion = (
            FusionLayer(model.embed_dim, dim, model.fusion_heads, model.fusion_mlp_dim, model.dropout)
            if reports
            else None
        )
        self.text_decoder = TextDecoder(model, vocab_size) if reports else None
        for part in (self.image_head, self.text_head, self.report_head, self.fusion, self.text_decoder):
            if part is not None:
                initialize(part)
        if text.is_frozen:
            text_encoder.requires_grad_(False)

    @property
    def aligns(self) -> bool:
        """Whether sentences and patches share a space, so that sentences can be located."""
        return self.objectives.aligns

    @property
    def reads_reports(self) -> bool:
        """Whether any objective needs the report."""
        return self.objectives.reads_reports

    def train(self, mode: bool = True) -> "SimCroP":
        """Switch the mode; a frozen text encoder stays in eval mode unless the recipe keeps its dropout."""
        super().train(mode)
        if self.text_encoder is not None and self.text_recipe.is_frozen and not self.text_recipe.dropout_active:
            self.text_encoder.eval()
        return self

    def forward(self, batch: Batch, counts: Counts, communicator: Communicator) -> dict[str, Tensor]:
        """The terms of the loss, unweighted, by name; those of weight 0 are absent.

        Args:
            batch: one micro-batch of this rank, on the model's device.
            counts: of the whole step over all ranks.
            communicator: the ranks.

        Returns:
            Scalars, each this rank's share: summed over micro-batches and averaged over ranks it is the step's value.
        """
        tokens = self.encoder(batch.volume, batch.ids_keep)
        terms: dict[str, Tensor] = {}
        if self.decoder is not None:
            terms["reconstruction"] = self._reconstruction(self.decoder, tokens, batch, counts, communicator)
        if self.fusion is not None:
            terms["report"] = self._report(tokens, batch, counts, communicator)
        if self.aligns:
            terms |= self._alignment(
                self.shared_patches(tokens, batch.volume, batch.ids_keep), batch, counts, communicator
            )
        return {name: terms[name] for name in TERMS if name in terms}

    def total(self, terms: Mapping[str, Tensor]) -> Float[Tensor, ""]:
        """Weighted sum of the terms."""
        return torch.stack([getattr(self.objectives, name).weight * term for name, term in terms.items()]).sum()

    def patch_features(
        self, volume: AnyVolume, ids_keep: Int64[Tensor, "B L"] | None = None
    ) -> Float[Tensor, "B L dim"]:
        """Patches in the space that they share with sentences. Raises InputError on a model trained without it."""
        return self.shared_patches(self.encoder(volume, ids_keep), volume, ids_keep)

    def shared_patches(
        self, tokens: Float[Tensor, "B L+1 E"], volume: AnyVolume, ids_keep: Int64[Tensor, "B L"] | None = None
    ) -> Float[Tensor, "B L dim"]:
        """`patch_features` from the encoder's normalized output for the same volume and patches.

        A patch of air becomes zero unless the recipe says otherwise: it has no cosine with anything and gets no
        gradient. In trials every sentence pointed at the air around the patient otherwise (docs/notebook/trials.md).
        """
        if self.image_head is None:
            raise InputError("model: trained without alignment, so its patches cannot be compared with sentences")
        patches = self.image_head(tokens[:, 1:])
        if not self.recipe.ignore_air:
            return patches
        return patches * holds_tissue(volume, ids_keep, self.recipe.patch_size, self.recipe.window)[..., None]

    def sentence_features(
        self,
        findings_ids: Int64[Tensor, "B T"],
        findings_mask: Bool[Tensor, "B T"],
        sentence_of_token: Int64[Tensor, "B T"],
        num_sentences: int,
    ) -> Float[Tensor, "B S dim"]:
        """Sentences in the space that they share with patches. Raises InputError on a model trained without it."""
        if self.text_head is None:
            raise InputError("model: trained without alignment, so it cannot place sentences among patches")
        return self._sentences(
            self._read_findings(findings_ids, findings_mask, sentence_of_token), sentence_of_token, num_sentences
        )[0]

    def reconstruct(
        self, volume: AnyVolume, ids_keep: Int64[Tensor, "B L"], ids_masked: Int64[Tensor, "B M"]
    ) -> Float[Tensor, "B M P"]:
        """Predicted masked patches, standardised or windowed as the recipe's target is."""
        if self.decoder is None:
            raise InputError("model: trained without reconstruction, so it cannot rebuild patches")
        return self.decoder(self.encoder(volume, ids_keep), ids_keep, ids_masked)

    def _reconstruction(
        self, decoder: VolumeDecoder, tokens: Tensor, batch: Batch, counts: Counts, communicator: Communicator
    ) -> Tensor:
        recipe = self.objectives.reconstruction
        mse = self.ops.masked_patch_mse(
            decoder(tokens, batch.ids_keep, batch.ids_masked),
            batch.volume,
            batch.ids_masked,
            patch_size=self.recipe.patch_size,
            window=self.recipe.window,
            normalize_patches=recipe.target == "patch_norm",
        )
        return reconstruction_share(mse, batch, recipe.loss, counts, communicator)

    def _report(self, tokens: Tensor, batch: Batch, counts: Counts, communicator: Communicator) -> Tensor:
        assert self.report_head is not None
        assert self.fusion is not None
        assert self.text_decoder is not None
        words = self.report_head(self._read(batch.report_input_ids, batch.report_mask))
        words = self.fusion(words, batch.report_mask, tokens[:, 1:])
        wanted = wanted_tokens(batch, self.objectives.report)
        logits = self.text_decoder(words, batch.report_mask, wanted)
        return report_share(logits, batch.report_ids[wanted], counts, communicator)

    def _alignment(
        self, patches: Float[Tensor, "B L dim"], batch: Batch, counts: Counts, communicator: Communicator
    ) -> dict[str, Tensor]:
        if batch.findings_features is None:
            hidden = self._read_findings(batch.findings_ids, batch.findings_mask, batch.sentence_of_token)
        else:
            hidden = batch.findings_features.float()
        features, meaning = self._sentences(hidden, batch.sentence_of_token, batch.sentence_mask.shape[1])
        sentences = Sentences(features, batch.sentence_mask, batch.sentence_keys, batch.study_keys, meaning)
        terms: dict[str, Tensor] = {}
        recipe = self.objectives.alignment
        if recipe.weight:
            mask = None if recipe.padding_negatives else batch.sentence_mask
            aligned = self.ops.sentence_patch_topk(features, patches, k=recipe.top_k, sentence_mask=mask).aligned
            terms["alignment"] = alignment_loss(
                sentences, aligned, recipe, num_sentences=counts.sentences, communicator=communicator
            )
        if self.late_interaction is not None:
            terms["late_interaction"] = self.late_interaction(
                sentences,
                patches,
                num_sentences=counts.sentences,
                num_studies=counts.studies,
                communicator=communicator,
            )
        return terms

    def _sentences(self, hidden: Tensor, sentence_of_token: Tensor, num_sentences: int) -> tuple[Tensor, Tensor | None]:
        """(features, frozen text features or None) of sentences, from what the text encoder made of their tokens."""
        assert self.text_head is not None
        features = sentence_means(self.text_head(hidden), sentence_of_token, num_sentences)
        meaning = sentence_means(hidden, sentence_of_token, num_sentences) if self.text_recipe.is_frozen else None
        return features, meaning

    def _read_findings(self, ids: Tensor, mask: Tensor, sentence_of_token: Tensor) -> Float[Tensor, "B T hidden"]:
        return self._read(ids, mask, sentence_of_token if self.text_recipe.reads_sentences_apart else None)

    def _read(
        self,
        ids: Int64[Tensor, "B T"],
        mask: Bool[Tensor, "B T"],
        sentence_of_token: Int64[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T hidden"]:
        assert self.text_encoder is not None
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.text_recipe.is_frozen):
            return self.text_encoder(ids, mask, sentence_of_token)
