"""Which fields a backend may get: one place for every difference between dialects of OpenAI's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

VLLM_ONLY = frozenset(
    {
        "add_generation_prompt",
        "add_special_tokens",
        "allowed_token_ids",
        "bad_words",
        "cache_salt",
        "chat_template",
        "chat_template_kwargs",
        "continue_final_message",
        "detokenize",
        "documents",
        "guided_choice",
        "guided_decoding_backend",
        "guided_grammar",
        "guided_json",
        "guided_regex",
        "guided_whitespace_pattern",
        "ignore_eos",
        "include_reasoning",
        "include_stop_str_in_output",
        "kv_transfer_params",
        "length_penalty",
        "logits_processors",
        "min_p",
        "min_tokens",
        "mm_processor_kwargs",
        "priority",
        "prompt_embeds",
        "prompt_logprobs",
        "repetition_penalty",
        "request_id",
        "return_token_ids",
        "return_tokens_as_token_ids",
        "skip_special_tokens",
        "spaces_between_special_tokens",
        "stop_token_ids",
        "structural_tag",
        "structured_outputs",
        "top_k",
        "truncate_prompt_tokens",
        "use_beam_search",
        "vllm_xargs",
    }
)
"""Fields of a request that vLLM's server adds to OpenAI's.

Source: the request models of vLLM 0.6 to 0.33 without the fields of OpenAI's API reference.
"""

VLLM_ONLY_STREAM_OPTIONS = frozenset({"continuous_usage_stats"})

RENAMED: Mapping[str, Mapping[str, str]] = {"openai": {"max_tokens": "max_completion_tokens"}}
"""By provider, for chat: OpenAI's reasoning models refuse the deprecated name."""
