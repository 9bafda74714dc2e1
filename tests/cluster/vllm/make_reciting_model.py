"""Write a tiny Llama that recites one text in many scripts, for ever, into a folder.

The text is in no way typical, and it is known: whatever is missing, doubled or broken shows. Every
one of its tokens leads to the next, so that greedy decoding and nearly every sampling say it. Many
of its characters take several tokens.

    make_reciting_model.py TINY_MODEL FOLDER
"""

import sys

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEXT = " theé ofδ workЖ youא anyع that界 each🙂 thisā orő withე not… is中 asф"
START = "<|assistant|>"


def chain(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """Return the text's ids, none of them twice: each must know what follows."""
    ids: list[int] = tokenizer.encode(TEXT, add_special_tokens=False)
    if len(set(ids)) != len(ids):
        raise ValueError("the text repeats a token; choose other words or characters")
    return ids


def make_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Build two layers that change nothing, and a head that turns a token into its successor."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        embeddings = model.model.embed_tokens.weight
        embeddings.normal_()
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        head = model.lm_head.weight
        head.zero_()
        said = chain(tokenizer)
        start = tokenizer.convert_tokens_to_ids(START)
        for before, after in zip([start, *said], [*said, said[0]], strict=True):
            head[after] += embeddings[before]
    return model.to(torch.bfloat16)


def main() -> None:
    """Write model and tokenizer."""
    source, folder = sys.argv[1:]
    tokenizer = PreTrainedTokenizerFast.from_pretrained(source)
    tokenizer.save_pretrained(folder)
    make_model(tokenizer).save_pretrained(folder)


if __name__ == "__main__":
    main()
