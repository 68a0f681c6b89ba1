"""The layers of BERT-like encoders, for a processor that multiplies bfloat16.

Weights are laid out once as oneDNN's kernels read them, queries, keys and values are one product, sums with
what went in are part of the product before them, and short texts attend without torch's softmax, which is
slow over rows of fewer than 16 numbers. The vectors differ from the model's own by rounding alone.
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
"""From so many tokens a text on torch's own attention is the faster one."""
_LARGE = 60
"""Up to so large a score its exponential and a sum of them fit a float32."""
_ROWS = 2048
"""For products of about so many tokens the weights are laid out."""


@dataclass(frozen=True)
class _Product:
    """A linear layer, its weights laid out as the kernel reads them."""

    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, layers: Sequence[nn.Linear], scale: float = 1) -> Self:
        """Several layers over the same numbers as one; the first one's answer times `scale`."""
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
    """All layers of an encoder. Get it with `of`; call it inside `torch.inference_mode`."""

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
            seen = self._attend(layer.queries_keys_values.alone(x), texts, hidden)
            x = _normalised(layer.attended.added(seen, x), layer.after_attention)
            x = _normalised(layer.down.added(layer.up.activated(x), x), layer.at_the_end)
        return x.view(texts, tokens, -1)

    def _attend(self, products: Tensor, texts: int, hidden: Tensor | None) -> Tensor:
        """What each token takes from the others of its text, shape (texts · tokens, width)."""
        rows, tokens = len(products), len(products) // texts
        apart = products.view(texts, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if tokens >= _LONG:
            queries, keys, values = apart
            mask = None if hidden is None else hidden.to(products.dtype)
            seen = scaled_dot_product_attention(queries, keys, values, attn_mask=mask, scale=1.0)
            return seen.transpose(1, 2).reshape(rows, -1)
        width = apart.shape[-1]
        queries, keys, values = apart.reshape(3, -1, tokens, width)
        scores = torch.bmm(queries, keys.transpose(1, 2)).float()
        if max(map(abs, torch.stack(torch.aminmax(scores)).tolist())) > _LARGE:
            scores -= scores.amax(-1, keepdim=True)
        if hidden is not None:
            scores.view(texts, -1, tokens, tokens).add_(hidden)
        shares = scores.exp_()
        shares /= shares.sum(-1, keepdim=True)
        seen = torch.bmm(shares.bfloat16(), values)
        return seen.view(texts, -1, tokens, width).transpose(1, 2).reshape(rows, -1)


def _normalised(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    return layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
