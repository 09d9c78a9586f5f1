#!/usr/bin/env python3
"""Writes chat.json: the conversations below as Hugging Face transformers renders them with every template in
chat/. Those are of our own writing, and have the constructs of the templates that model families publish."""
import datetime
import json
import pathlib

from transformers.utils import chat_template_utils


class Fixed(datetime.datetime):
    """The time that strftime_now tells; tests/test_chat.c has the same."""

    @classmethod
    def now(cls, tz=None):
        return cls(2031, 1, 2, 3, 4, 5)


chat_template_utils.datetime = Fixed
user, answer = {"role": "user"}, {"role": "assistant"}
system = {"role": "system", "content": " Speak like a pirate. "}
TALKS = [
    [user | {"content": "Hello!"}],
    [user | {"content": "  Hi\u00a0\n"}, answer | {"content": "\n<think>\nhm\n</think>\n\n Hello there.\n "},
     user | {"content": "Tell me \"more\", 'please' \u2014 \U0001f600"}],
    [system, user | {"content": "Who are you?"}],
    [system, user | {"content": "One\nline"}, answer | {"content": "Two"}, user | {"content": "Three"},
     answer | {"content": "Four "}, user | {"content": "Five"}],
    [user | {"content": "One"}, answer | {"content": "<think>\nsoon\n</think>\n\nTwo"}],
    [user | {"content": "One"}, user | {"content": "Two"}],
]

here = pathlib.Path(__file__).parent
texts, refused = {}, 0
for path in sorted((here / "chat").glob("*.jinja")):
    texts[path.stem] = []
    for talk in TALKS:
        for generate in (True, False):
            try:
                text = chat_template_utils.render_jinja_template(
                    [talk], chat_template=path.read_text(), add_generation_prompt=generate, bos_token="<s>",
                    eos_token="</s>")[0][0]
            except Exception as error:
                assert any(word in str(error) for word in ("take turns", "role", "only")), (path, error)
                text = None
                refused += 1
            texts[path.stem].append(text)
(here / "chat.json").write_text(json.dumps({"talks": TALKS, "texts": texts}, indent=0) + "\n")
print(len(texts), "templates,", refused, "refusals")
