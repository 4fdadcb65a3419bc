"""BERT as GroundingDINO uses it: every token sees its own phrase only.

Stands in for groundingdino's `BertModelWarper`, with the same outputs. That one asks transformers to turn the
phrase mask into an additive one, through methods which transformers 5 no longer has; this one does it itself.

Shapes: B captions, L tokens, D channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import BertModel


class PhraseBert(nn.Module):
    """The embeddings and the encoder of a `BertModel`, under the same parameter names; its pooler is left."""

    def __init__(self, bert_model: BertModel):
        super().__init__()
        self.config = bert_model.config
        self.embeddings = bert_model.embeddings
        self.encoder = bert_model.encoder

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        token_type_ids: Tensor | None = None,
    ) -> dict[str, Any]:
        """Ids [B, L] and who sees whom, [B, L, L] bool, to `last_hidden_state` [B, L, D]."""
        embedded_BLD = self.embeddings(
            input_ids=input_ids, token_type_ids=token_type_ids, position_ids=position_ids
        )
        unseen_B1LL = ~attention_mask[:, None].bool()
        additive_B1LL = torch.zeros_like(unseen_B1LL, dtype=embedded_BLD.dtype)
        additive_B1LL.masked_fill_(unseen_B1LL, torch.finfo(embedded_BLD.dtype).min)
        return {"last_hidden_state": self.encoder(embedded_BLD, attention_mask=additive_B1LL)[0]}
