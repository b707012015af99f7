"""SimCroP: one pass over a masked volume feeds all objectives (docs/method.md, sections 2 to 6)."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from simcrop.core.data.batch import Batch, Tokens
from simcrop.core.errors import InputError
from simcrop.core.model.decoder import VolumeDecoder
from simcrop.core.model.encoder import VisionEncoder, initialize
from simcrop.core.model.forward_pass import ForwardPass
from simcrop.core.model.frozen import freeze
from simcrop.core.model.fusion import FusionLayer, ProjectionHead, TextDecoder
from simcrop.core.model.local_path import LocalPath
from simcrop.core.model.patches import AnyVolume, holds_tissue
from simcrop.core.objectives.contrast import NOTHING_COMPARED, Contrasts, terms
from simcrop.core.objectives.losses import OBJECTIVES, Counts
from simcrop.core.objectives.objective import Pass, sentence_means
from simcrop.core.ops import Ops
from simcrop.core.ports import Communicator, Tokenizer
from simcrop.core.recipe import ModelRecipe, ObjectivesRecipe, TextEncoderRecipe


class SimCroP(nn.Module):
    """Vision encoder, text encoder, and the parts of the objectives whose weight is above 0.

    Attributes:
        recipe: sizes; without a local path where nothing would train it.
        tokenizer: of the text encoder; set where the model was loaded for use.
        matches_sentences: whether sentences and patches share a space, so that sentences can be located.

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
        is_local = model.local is not None and objectives.late_interaction.weight > 0
        if not is_local:
            model = replace(model, local_patch_size=None)
        self.recipe, self.objectives, self.text_recipe, self.ops = model, objectives, text, ops
        self.tokenizer: Tokenizer | None = None
        self.matches_sentences = objectives.matches_sentences
        self.encoder = VisionEncoder(model, ops)
        self.text_encoder = text_encoder if objectives.reads_reports else None
        hidden: int = text_encoder.hidden_size  # pyright: ignore[reportAssignmentType]
        dim = model.projection_dim
        self.decoder = VolumeDecoder(model) if objectives.reconstruction.weight else None
        # Whether anything compares sentences with the encoder's tokens.
        is_contextual = self.matches_sentences and (not is_local or objectives.alignment.weight > 0)
        self.image_head = ProjectionHead(model.embed_dim, dim) if is_contextual else None
        self.text_head = ProjectionHead(hidden, dim) if is_contextual else None
        for each in OBJECTIVES:
            if each.name in objectives.active and each.module is not None:
                self.add_module(each.name, each.module(objectives, model, ops))
        reports = objectives.report.weight > 0
        self.report_head = ProjectionHead(hidden, dim) if reports else None
        self.fusion = FusionLayer(model) if reports else None
        self.text_decoder = TextDecoder(model, vocab_size) if reports else None
        self.local = None if model.local is None else LocalPath(model, model.local)
        self.local_text_head = ProjectionHead(hidden, dim) if is_local else None
        is_scan = is_local and objectives.late_interaction.scan_weight > 0
        self.scan_head = ProjectionHead(model.embed_dim, dim) if is_scan else None
        heads = self.image_head, self.text_head, self.report_head, self.local_text_head, self.scan_head
        for part in (*heads, self.fusion, self.text_decoder):
            if part is not None:
                initialize(part)
        is_shared = objectives.organ_shares.weight > 0
        if not (is_contextual or is_scan or objectives.reconstruction.weight or reports or is_shared):
            freeze(self.encoder)
        if text.is_frozen:
            freeze(text_encoder)

    def train(self, mode: bool = True) -> "SimCroP":
        """Switch the mode; a frozen text encoder stays in eval mode unless the recipe keeps its dropout."""
        super().train(mode)
        if self.text_encoder is not None and self.text_recipe.is_frozen and not self.text_recipe.dropout_active:
            self.text_encoder.eval()
        return self

    @property
    def image_parts(self) -> list[VisionEncoder | VolumeDecoder]:
        """The parts whose blocks see patches alone: their number never changes, and none is padding."""
        return [self.encoder] if self.decoder is None else [self.encoder, self.decoder]

    def forward(
        self, batch: Batch, counts: Counts, communicator: Communicator, contrasts: Contrasts = NOTHING_COMPARED
    ) -> dict[str, Tensor]:
        """The terms of the loss, unweighted, by name; those of weight 0 are absent.

        Args:
            batch: one micro-batch of this rank, on the model's device.
            counts: of the whole step over all ranks.
            communicator: the ranks.
            contrasts: terms that come of comparing all micro-batches of the step, where that was done.

        Returns:
            Scalars, each this rank's share: summed over micro-batches and averaged over ranks it is the step's value.
        """
        return self.terms(self.begin(batch, counts, communicator), counts, contrasts)

    def begin(self, batch: Batch, counts: Counts, communicator: Communicator) -> Pass:
        """The pass that `forward` takes its terms from; arguments as there."""
        return ForwardPass(self, batch, communicator, counts)

    def terms(self, step: Pass, counts: Counts, contrasts: Contrasts = NOTHING_COMPARED) -> dict[str, Tensor]:
        """The terms of a pass; see `forward`."""
        return terms(step, counts, contrasts)

    def total(self, terms: Mapping[str, Tensor]) -> Float[Tensor, ""]:
        """Weighted sum of the terms."""
        return torch.stack([self.objectives.active[name].weight * term for name, term in terms.items()]).sum()

    def patch_features(
        self, volume: AnyVolume, *, tokens: Float[Tensor, "B N+1 E"] | None = None
    ) -> Float[Tensor, "B N dim"]:
        """Every patch of a volume, as sentences are compared with it: of the local path, or of the encoder without one.

        Args:
            volume: [B, C, H, W, D] in HU.
            tokens: the encoder's normalized output for it, where it is known; the local path needs none.

        Raises:
            InputError: the model was trained without alignment.
        """
        if self.local is not None:
            return self.local(volume)
        return self.contextual_features(self.encoder(volume) if tokens is None else tokens, volume)

    def contextual_features(
        self, tokens: Float[Tensor, "B L+1 E"], volume: AnyVolume, ids_keep: Int64[Tensor, "B L"] | None = None
    ) -> Float[Tensor, "B L dim"]:
        """The encoder's patches in the space of its sentences.

        A patch of air becomes zero unless the recipe says otherwise: it has no cosine with anything and gets no
        gradient. In trials every sentence pointed at the air around the patient otherwise (docs/notebook/trials.md).

        Args:
            tokens: the encoder's normalized output.
            volume: that it is of, in HU.
            ids_keep: the patches; None is all.

        Raises:
            InputError: the model was trained without alignment of these patches.
        """
        if self.image_head is None:
            raise InputError("model: trained without alignment, so its patches cannot be compared with sentences")
        patches = self.image_head(tokens[:, 1:])
        if not self.recipe.ignore_air:
            return patches
        return patches * holds_tissue(volume, ids_keep, self.recipe.patch_size, self.recipe.window)[..., None]

    def sentence_features(self, findings: Tokens, num_sentences: int) -> Float[Tensor, "B S dim"]:
        """Sentences in the space of `patch_features`. Raises InputError on a model trained without it."""
        if not self.matches_sentences:
            raise InputError("model: trained without alignment, so it cannot place sentences among patches")
        hidden, owners = self.read_findings(findings), findings.sentence_of_token
        if self.local_text_head is None:
            assert self.text_head is not None
            return sentence_means(self.text_head(hidden), owners, num_sentences)
        has_token = (owners[:, :, None] == torch.arange(num_sentences, device=owners.device)).any(1)
        return self.local_text_head(sentence_means(hidden, owners, num_sentences)) * has_token[..., None]

    def reconstruct(
        self, volume: AnyVolume, ids_keep: Int64[Tensor, "B L"], ids_masked: Int64[Tensor, "B M"]
    ) -> Float[Tensor, "B M P"]:
        """Predicted masked patches, standardised or windowed as the recipe's target is."""
        if self.decoder is None:
            raise InputError("model: trained without reconstruction, so it cannot rebuild patches")
        return self.decoder(self.encoder(volume, ids_keep), ids_keep, ids_masked)

    def read_findings(self, findings: Tokens) -> Float[Tensor, "B T hidden"]:
        """Features of findings by the text encoder, of each sentence by itself where the recipe says so."""
        apart = self.text_recipe.reads_sentences_apart
        return self.read_text(findings.ids, findings.mask, findings.sentence_of_token if apart else None)

    def read_text(
        self, ids: Int64[Tensor, "B T"], mask: Bool[Tensor, "B T"], owners: Int64[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B T hidden"]:
        """Features of texts by the text encoder; without gradient where it is frozen."""
        assert self.text_encoder is not None
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.text_recipe.is_frozen):
            return self.text_encoder(ids, mask, owners)
