"""The layers of BERT-like encoders, for a processor that multiplies bfloat16.

Weights are laid out once as oneDNN's kernels read them. Queries, keys and values are one product. A residual
sum is part of the product before it. Attention over short texts does not use torch's softmax, which is slow
over rows of fewer than 16 numbers. The vectors differ from the model's own by rounding alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, scaled_dot_product_attention

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_ARCHITECTURES = ("bert", "roberta", "xlm-roberta")
_ACTIVATION = "gelu"
_LONG = 64
"""From this number of tokens in a text, torch's own attention is faster."""
_LARGE = 60
"""Up to this score its exponential and a sum of them fit a float32."""
_ROWS = 2048
"""The weights are laid out for products of about this number of tokens."""


@dataclass(frozen=True)
class _Product:
    """A linear layer, its weights laid out as the kernel reads them."""

    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, layers: Sequence[nn.Linear], scale: float = 1) -> Self:
        """Several layers over the same input as one; the output of the first one times `scale`."""
        factors = [scale, *[1.0] * (len(layers) - 1)]
        weights = [layer.weight * factor for layer, factor in zip(layers, factors, strict=True)]
        biases = [layer.bias * factor for layer, factor in zip(layers, factors, strict=True)]
        packed = torch.ops.mkldnn._reorder_linear_weight(torch.cat(weights).bfloat16().contiguous(), _ROWS)
        return cls(packed, torch.cat(biases).bfloat16())

    def alone(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")

    def activated(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, _ACTIVATION, [], "none")

    def added(self, x: Tensor, to: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise.binary(x, to, self.weight, self.bias, "add")


@dataclass(frozen=True)
class _Layer:
    queries_keys_values: _Product
    attended: _Product
    after_attention: nn.LayerNorm
    up: _Product
    down: _Product
    at_the_end: nn.LayerNorm

    @classmethod
    def of(cls, layer: Any) -> Self:
        attention, heads = layer.attention.self, layer.attention.output
        three = (attention.query, attention.key, attention.value)
        return cls(
            _Product.of(three, scale=attention.attention_head_size**-0.5),
            _Product.of([heads.dense]),
            heads.LayerNorm,
            _Product.of([layer.intermediate.dense]),
            _Product.of([layer.output.dense]),
            layer.output.LayerNorm,
        )


@dataclass(frozen=True)
class FusedLayers:
    """All layers of an encoder. Made by `of`; call it inside `torch.inference_mode`."""

    embed: Callable[..., Tensor]
    layers: tuple[_Layer, ...]
    heads: int

    @classmethod
    def of(cls, model: "PreTrainedModel") -> Self | None:
        """The model's layers; None for another architecture, or a torch without these kernels."""
        config = model.config
        fits = (
            config.model_type in _ARCHITECTURES
            and config.hidden_act == _ACTIVATION
            and not config.is_decoder
            and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        )
        if not fits:
            return None
        parts: Any = model
        with torch.inference_mode():
            layers = tuple(_Layer.of(layer) for layer in parts.encoder.layer)
        return cls(parts.embeddings, layers, config.num_attention_heads)

    def __call__(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        """The states of the tokens after the last layer, shape (texts, tokens, width).

        Args:
            ids: of the tokens, shape (texts, tokens).
            mask: true where there is a token and no padding; None without padding.
        """
        texts, tokens = ids.shape
        x = self.embed(input_ids=ids).view(texts * tokens, -1)
        hidden = None if mask is None else torch.where(mask, 0.0, -torch.inf)[:, None, None]
        for layer in self.layers:
            attended = self._attend(layer.queries_keys_values.alone(x), texts, hidden)
            x = _normalised(layer.attended.added(attended, x), layer.after_attention)
            x = _normalised(layer.down.added(layer.up.activated(x), x), layer.at_the_end)
        return x.view(texts, tokens, -1)

    def _attend(self, products: Tensor, texts: int, hidden: Tensor | None) -> Tensor:
        """The attention of each token to the tokens of its text, shape (texts · tokens, width)."""
        rows, tokens = len(products), len(products) // texts
        separate = products.view(texts, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if tokens >= _LONG:
            queries, keys, values = separate
            mask = None if hidden is None else hidden.to(products.dtype)
            attended = scaled_dot_product_attention(queries, keys, values, attn_mask=mask, scale=1.0)
            return attended.transpose(1, 2).reshape(rows, -1)
        width = separate.shape[-1]
        queries, keys, values = separate.reshape(3, -1, tokens, width)
        scores = torch.bmm(queries, keys.transpose(1, 2)).float()
        if max(map(abs, torch.stack(torch.aminmax(scores)).tolist())) > _LARGE:
            scores -= scores.amax(-1, keepdim=True)
        if hidden is not None:
            scores.view(texts, -1, tokens, tokens).add_(hidden)
        shares = scores.exp_()
        shares /= shares.sum(-1, keepdim=True)
        attended = torch.bmm(shares.bfloat16(), values)
        return attended.view(texts, -1, tokens, width).transpose(1, 2).reshape(rows, -1)


def _normalised(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    return layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
