"""A labelled set of made-up data about people and secrets, with hard negatives.

Everything is drawn from a seed: values with right check digits, texts from templates in ten
languages. The families `ticket`, `log`, `code` and `json` may be looked at while detectors are
written; `form`, `chat` and `config` are held out and only ever measured.
"""
