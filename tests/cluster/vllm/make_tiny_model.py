"""Write a tiny Llama with random weights, a real tokenizer and a real chat template into a folder.

The engine, the API and the token counts are those of any model; only the words mean nothing. In the
folder's own folder `adapter` stands a LoRA adapter of it, which makes other words of them.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEXTS = Path("/usr/share/common-licenses")  # on every Debian
VOCABULARY = 4096
CONTEXT = 8192
RANK = 8
ADAPTED = ("o_proj", "down_proj")
ROLES = ["<|system|>", "<|user|>", "<|assistant|>"]
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "<|{{ message['role'] }}|>{{ message['content'] }}{{ eos_token }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer: it can encode any text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", "</s>", *ROLES],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    texts = sorted(
        str(path) for path in TEXTS.iterdir() if path.is_file() and not path.is_symlink()
    )
    tokenizer.train(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        chat_template=CHAT_TEMPLATE,
        model_max_length=CONTEXT,
    )


def make_model(vocabulary: int) -> LlamaForCausalLM:
    """Build two layers with weights that are the same every time."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).to(torch.bfloat16)


def write_adapter(model: LlamaForCausalLM, folder: Path) -> None:
    """Write an adapter as PEFT does, with weights large enough to be heard."""
    torch.manual_seed(1)
    weights = {}
    for name, layer in model.named_modules():
        if name.endswith(ADAPTED):
            halves = {"A": (RANK, layer.in_features), "B": (layer.out_features, RANK)}
            for half, shape in halves.items():
                key = f"base_model.model.{name}.lora_{half}.weight"
                weights[key] = torch.randn(shape, dtype=torch.bfloat16)
    folder.mkdir()
    save_file(weights, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": RANK,
        "lora_alpha": RANK,
        "target_modules": [*ADAPTED],
        "bias": "none",
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))


def main() -> None:
    """Write all into the folder named by the first argument."""
    folder = sys.argv[1]
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(folder)
    model = make_model(len(tokenizer))
    model.save_pretrained(folder)
    write_adapter(model, Path(folder) / "adapter")


if __name__ == "__main__":
    main()
