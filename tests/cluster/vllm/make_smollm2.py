"""Write SmolLM2-135M-Instruct into a folder that vLLM serves; a Python package carries it in GGUF.

Weights are dequantized to bfloat16: it answers as the quantized model would, up to rounding. Sizes,
vocabulary, merges and chat template are read from the same file.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGUFReader, dequantize
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SPECIAL = 3
"""A token's type in GGUF: it stands for no text."""
NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def make_tokenizer(field: dict[str, Any]) -> PreTrainedTokenizerFast:
    """Build the tokenizer: byte-level BPE that takes digits one by one (`pre` is `smollm`)."""
    tokens = field["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in field["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    digits = pre_tokenizers.Digits(individual_digits=True)
    rest = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, rest])
    tokenizer.decoder = decoders.ByteLevel()
    types = zip(tokens, field["tokenizer.ggml.token_type"], strict=True)
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token, t in types if t == SPECIAL]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=tokens[field["tokenizer.ggml.bos_token_id"]],
        eos_token=tokens[field["tokenizer.ggml.eos_token_id"]],
        pad_token=tokens[field["tokenizer.ggml.padding_token_id"]],
        chat_template=field["tokenizer.chat_template"],
        model_max_length=field["llama.context_length"],
    )


def make_config(field: dict[str, Any]) -> LlamaConfig:
    """Return the sizes."""
    return LlamaConfig(
        vocab_size=field["llama.vocab_size"],
        hidden_size=field["llama.embedding_length"],
        intermediate_size=field["llama.feed_forward_length"],
        num_hidden_layers=field["llama.block_count"],
        num_attention_heads=field["llama.attention.head_count"],
        num_key_value_heads=field["llama.attention.head_count_kv"],
        max_position_embeddings=field["llama.context_length"],
        rope_parameters={"rope_type": "default", "rope_theta": field["llama.rope.freq_base"]},
        rms_norm_eps=field["llama.attention.layer_norm_rms_epsilon"],
        bos_token_id=field["tokenizer.ggml.bos_token_id"],
        eos_token_id=field["tokenizer.ggml.eos_token_id"],
        pad_token_id=field["tokenizer.ggml.padding_token_id"],
        tie_word_embeddings=True,
        dtype=torch.bfloat16,
    )


def renamed(name: str) -> str:
    """Return what a tensor of GGUF is called in a checkpoint: blk.3.attn_q.weight ..."""
    *block, kind, end = name.split(".")
    layer = f"model.layers.{block[1]}." if block else ""
    return f"{layer}{NAMES[kind]}.{end}"


def halves(weight: Any, heads: int) -> Any:
    """Undo GGUF's order of a head's rows: those that are rotated together are neighbours there."""
    rows, columns = weight.shape
    paired = weight.reshape(heads, rows // heads // 2, 2, columns)
    return paired.swapaxes(1, 2).reshape(rows, columns)


def make_model(reader: GGUFReader, config: LlamaConfig) -> LlamaForCausalLM:
    """Build the model; a tensor that is missing or left over is an error."""
    weights = {}
    for tensor in reader.tensors:
        weight = dequantize(tensor.data, tensor.tensor_type)
        if ".attn_q." in tensor.name:
            weight = halves(weight, config.num_attention_heads)
        elif ".attn_k." in tensor.name:
            weight = halves(weight, config.num_key_value_heads)
        weights[renamed(tensor.name)] = torch.from_numpy(np.array(weight)).to(torch.bfloat16)
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.load_state_dict(weights, strict=True)
    return model


def main() -> None:
    """Find the GGUF file below the first argument, and write all into the folder of the second."""
    packages, folder = map(Path, sys.argv[1:])
    (file,) = packages.rglob("*.gguf")
    reader = GGUFReader(file)
    field = {name: field.contents() for name, field in reader.fields.items()}
    make_tokenizer(field).save_pretrained(folder)
    make_model(reader, make_config(field)).save_pretrained(folder)


if __name__ == "__main__":
    main()
