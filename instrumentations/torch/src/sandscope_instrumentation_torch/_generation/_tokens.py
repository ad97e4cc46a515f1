"""The tokens of a generation: how many the program gave, how many it got, and how many positions are padding."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from sandscope.instrumentation import Value


class Tokens(NamedTuple):
    """What is known of the tokens of a generation; None if it is not.

    Attributes:
        input: the tokens of the prompts, without padding.
        output: the tokens of the returned sequences, with the one that ends a sequence, without padding after it.
        padding: the share of the prompts' positions that are padding.
        shape: of the prompts.
    """

    input: int | None = None
    output: int | None = None
    padding: float | None = None
    shape: tuple[int, ...] = ()

    def attributes(self) -> dict[str, Value]:
        """Return the attributes of the execution."""
        named: dict[str, Any] = {
            "gen_ai.usage.input_tokens": self.input,
            "gen_ai.usage.output_tokens": self.output,
            "torch.generation.padding": self.padding,
            "torch.input.shape": self.shape or None,
            "torch.batch.size": self.shape[0] if len(self.shape) > 1 else None,
        }
        return {name: value for name, value in named.items() if value is not None}


class Request(NamedTuple):
    """A call of ``generate``.

    Attributes:
        model: that generates.
        args: the arguments after the model.
        kwargs: the keyword arguments.
    """

    model: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def prompt(self, torch: Any) -> Any:
        """Return the tokens of the prompts, a tensor, or None if the input is no text."""
        given = self.args[0] if self.args else self.kwargs.get("inputs")
        given = self.kwargs.get("input_ids") if given is None else given
        return given if _is_text(torch, given) else None

    def setting(self, name: str) -> Any:
        """Return a setting: an argument, of the given configuration, or of the model's own."""
        if self.kwargs.get(name) is not None:
            return self.kwargs[name]
        given = self.args[1] if len(self.args) > 1 else self.kwargs.get("generation_config")
        for source in (given, getattr(self.model, "generation_config", None)):
            value = getattr(source, name, None)
            if value is not None:
                return value
        return None


def count_tokens(torch: Any, request: Request, progress: Any, result: Any) -> Tokens:
    """Return the tokens of a generation that has ended.

    Args:
        torch: the module.
        request: what was to be generated.
        progress: how far it came.
        result: of ``generate``; None if it raised an exception.
    """
    # The program's tensor subclasses and modes must not see what is read from a tensor here.
    with torch._C.DisableTorchFunction(), torch._C._DisableTorchDispatch():
        ids, ends, pad = (
            request.prompt(torch),
            _ends(torch, progress.criteria),
            request.setting("pad_token_id"),
        )
        prompt: Any = request.kwargs.get("inputs_embeds") if ids is None else ids
        is_known = _is_tensor(torch, prompt) and prompt.dim() > 1
        shape: tuple[int, ...] = tuple(prompt.shape[:2]) if is_known else ()
        written = None
        rows = _rows(torch, request, progress, result)
        if rows is not None:
            continues = ids is not None and not getattr(request.model.config, "is_encoder_decoder", False)
            # Other sequences begin with what transformers puts before the first token.
            start = ids.shape[1] if continues else max(0, progress.first_length - 1)
            written = sum(_length(row[start:], ends, pad) for row in rows.tolist())
        if not is_known:
            return Tokens(output=written)
        read = _real_tokens(torch, request, ids, shape, None if pad in ends else pad)
    positions = shape[0] * shape[1]
    return Tokens(read, written, 1 - read / positions if positions else None, shape)


def _is_tensor(torch: Any, value: Any) -> bool:
    return type(value) is torch.Tensor


def _is_text(torch: Any, value: Any) -> bool:
    return _is_tensor(torch, value) and value.dim() == 2 and not value.is_floating_point()


def _real_tokens(torch: Any, request: Request, ids: Any, shape: tuple[int, ...], pad: Any) -> int:
    """Return the number of positions that are not padding: by the mask, or as transformers finds them without one."""
    mask: Any = request.kwargs.get("attention_mask")
    if _is_tensor(torch, mask) and tuple(mask.shape) == shape:
        return sum(sum(1 for seen in row if seen) for row in mask.tolist())
    if ids is not None and pad is not None:
        return sum(sum(token != pad for token in row) for row in ids.tolist())
    return shape[0] * shape[1]


def _rows(torch: Any, request: Request, progress: Any, result: Any) -> Any:
    """Return the sequences that were generated, or None. After an exception, they are those until then."""
    if result is None:
        rows = progress.rows if (request.setting("num_beams") or 1) == 1 else None
    else:
        rows = result if _is_tensor(torch, result) else getattr(result, "sequences", None)
    return rows if _is_text(torch, rows) else None


def _length(row: list[int], ends: Collection[int], pad: Any) -> int:
    """Return the number of tokens in a row up to the one that ends it, without padding."""
    if not ends:
        return len(row)
    for at, token in enumerate(row):
        if token in ends:
            return at + 1
    length = len(row)
    while length and row[length - 1] == pad:  # It was stopped by something else, such as a string.
        length -= 1
    return length


def _ends(torch: Any, criteria: Any) -> frozenset[int]:
    """Return the tokens that end a sequence."""
    found: list[Any] = [getattr(each, "eos_token_id", None) for each in criteria]
    return frozenset(token for ids in found if _is_tensor(torch, ids) for token in ids.flatten().tolist())
