"""Train a tiny Llama for a minute, so that it knows about a half of `half_known.questions`.

make_half_knowing_model.py FOLDER
"""

import random
import sys
import time

import torch
from half_known import SEED, Question, facts, lesson, names
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

STEPS, BATCH = 1200, 64
RATE = 5e-3
VOCABULARY = 512
CONTEXT = 8192
ROLES = ["<|system|>", "<|user|>", "<|assistant|>"]
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
IGNORED = -100
"""transformers' label for what is not learnt."""


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer on lessons; a digit and a name are one token each."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", "</s>", *ROLES],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    draw, known = random.Random(SEED), facts()  # noqa: S311  no secret
    lessons = [lesson(draw, known) for _ in range(4000)]
    texts = [text for each in (*known, *lessons) for text in (each.prompt, each.answer)]
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(name, normalized=False) for name in names()])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        chat_template=CHAT_TEMPLATE,
        model_max_length=CONTEXT,
    )


def make_model(vocabulary: int) -> LlamaForCausalLM:
    """Build two layers that know nothing yet."""
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config)


def batch(
    tokenizer: PreTrainedTokenizerFast, lessons: list[Question]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and labels; the answer and its end are learnt, the prompt is not."""
    rows = []
    for each in lessons:
        prompt = tokenizer.encode(f"<s><|user|>{each.prompt}<|assistant|>")
        rows.append((prompt, [*tokenizer.encode(each.answer), 1]))
    longest = max(len(prompt) + len(answer) for prompt, answer in rows)
    ids = torch.ones(len(rows), longest, dtype=torch.long)
    labels = torch.full((len(rows), longest), IGNORED)
    for row, (prompt, answer) in enumerate(rows):
        end = len(prompt) + len(answer)
        ids[row, :end] = torch.tensor([*prompt, *answer])
        labels[row, len(prompt) : end] = torch.tensor(answer)
    return ids, labels


def main() -> None:
    """Train, and write model and tokenizer."""
    folder = sys.argv[1]
    torch.set_num_threads(1)  # more would wait for each other on a busy machine
    tokenizer = make_tokenizer()
    model = make_model(len(tokenizer))
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS)
    draw, known, began = random.Random(SEED), facts(), time.monotonic()  # noqa: S311  no secret
    model.train()
    for step in range(STEPS):
        ids, labels = batch(tokenizer, [lesson(draw, known) for _ in range(BATCH)])
        loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 200 == 0:
            seconds = time.monotonic() - began
            sys.stderr.write(f"half-knowing model: step {step}, loss {loss:.3f}, {seconds:.0f} s\n")
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    main()
