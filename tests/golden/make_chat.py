#!/usr/bin/env python3
"""Writes chat.json: conversations rendered by Hugging Face transformers (its Jinja environment) with
templates of our own writing that carry the marks, and have the behaviour, of the templates that the known
families publish."""
import json
import pathlib

from transformers.utils.chat_template_utils import render_jinja_template

TURNS = """{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}\
{{ raise_exception('roles must alternate') }}{% endif %}{% endfor %}"""
SYSTEM = """{% if messages[0]['role'] == 'system' %}{% set system_message = messages[0]['content'] %}\
{% set messages = messages[1:] %}{% endif %}"""


def chatml(default="", before="", content="message['content']"):
    system = ("{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\n" + default +
              "<|im_end|>\\n' }}{% endif %}") if default else ""
    return (before + system + "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + " +
            content +
            " + '<|im_end|>' + '\\n' }}{% endfor %}"
             "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")


def mistral(user, answer, system="", extra=""):
    place = ("{% if " + system +
             " and system_message is defined %}"
             "{% set text = system_message + '\\n\\n' + message['content'] %}"
             "{% else %}{% set text = message['content'] %}{% endif %}") if system else (
             "{% set text = message['content'] %}")
    return ((SYSTEM if system else "") + TURNS + "{{ bos_token }}{% for message in messages %}" + place +
            "{% if message['role'] == 'user' %}{{ " + user + " }}{% else %}{{ " + answer +
            " }}{% endif %}{% endfor %}")


def llama3(head):
    return ("{{ bos_token }}" + head +
            "{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + "
            "'<|end_header_id|>\\n\\n' + "
            "message['content'] | trim + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}"
            "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}")


DATED = """{% if messages[0]['role'] == 'system' %}{% set system_message = messages[0]['content'] | trim %}\
{% set messages = messages[1:] %}{% else %}{% set system_message = '' %}{% endif %}\
{% if not date_string is defined %}{% set date_string = '26 Jul 2024' %}{% endif %}\
{{ '<|start_header_id|>system<|end_header_id|>\\n\\nCutting Knowledge Date: December 2023\
\\nToday Date: ' + date_string + '\\n\\n' }}\
{{ system_message + '<|eot_id|>' }}"""
LLAMA2 = SYSTEM + TURNS + """{% for message in messages %}\
{% if loop.index0 == 0 and system_message is defined %}\
{% set text = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}\
{% else %}{% set text = message['content'] %}{% endif %}\
{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + text.strip() + ' [/INST]' }}\
{% else %}{{ ' ' + text.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"""


def gemma(system):
    prefix = ("{% if messages[0]['role'] == 'system' %}"
              "{% set first_user_prefix = messages[0]['content'] + '\\n\\n' %}"
              "{% set messages = messages[1:] %}{% else %}"
              "{% set first_user_prefix = '' %}{% endif %}") if system else (
              "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}")
    lead = "(first_user_prefix if loop.first else '') + " if system else ""
    return ("{{ bos_token }}" + prefix + TURNS +
            "{% for message in messages %}{% set role = 'model' if message['role'] == 'assistant' "
            "else message['role'] %}{{ '<start_of_turn>' + role + '\\n' + " + lead +
            "message['content'] | trim + '<end_of_turn>\\n' }}"
            "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}")


PHI3 = """{% for message in messages %}{% if message['role'] == 'system' %}\
{{ '<|system|>\\n' + message['content'] + '<|end|>\\n' }}\
{% elif message['role'] == 'user' %}{{ '<|user|>\\n' + message['content'] + '<|end|>\\n' }}\
{% else %}{{ '<|assistant|>\\n' + message['content'] + '<|end|>\\n' }}{% endif %}{% endfor %}\
{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"""
PHI3_OLD = """{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}\
{{ '<|user|>' + '\\n' + message['content'] + '<|end|>' + '\\n' + '<|assistant|>' + '\\n' }}\
{% elif message['role'] == 'assistant' %}{{ message['content'] + '<|end|>' + '\\n' }}{% endif %}\
{% endfor %}"""
THOUGHTS = ("(message['content'].split('</think>')[-1].lstrip('\\n') "
            "if message['role'] == 'assistant' else message['content'])")

TEMPLATES = [
    ("ChatML", chatml()),
    ("ChatML", chatml("You are a helpful assistant.")),
    ("ChatML", chatml(before="{{ bos_token }}")),
    ("ChatML", chatml(content=THOUGHTS)),
    ("Llama-2", LLAMA2),
    ("Llama-3", llama3("")),
    ("Llama-3", llama3(DATED)),
    ("Mistral", mistral("'[INST] ' + text + ' [/INST]'", "message['content'] + eos_token")),
    ("Mistral", mistral("'[INST] ' + text + ' [/INST]'", "message['content'] + eos_token + ' '")),
    ("Mistral", mistral("' [INST] ' + text + ' [/INST]'", "' ' + message['content'] + eos_token",
                        "loop.first")),
    ("Mistral", mistral("'[INST] ' + text + '[/INST]'", "' ' + message['content']|trim + eos_token",
                        "loop.last")),
    ("Mistral", mistral("'[INST]' + text + '[/INST]'", "message['content'] + eos_token", "loop.last")),
    ("Gemma", gemma(False)),
    ("Gemma", gemma(True)),
    ("Phi-3", PHI3),
    ("Phi-3", PHI3_OLD),
]
user, answer = {"role": "user"}, {"role": "assistant"}
system = {"role": "system", "content": " Speak like a pirate. "}
TALKS = [
    [user | {"content": "Hello!"}],
    [user | {"content": "  Hi\u00a0\n"}, answer | {"content": "\n<think>\nhm\n</think>\n\n Hello there.\n "},
     user | {"content": "Tell me \"more\", 'please' \u2014 \U0001f600"}],
    [system, user | {"content": "Who are you?"}],
    [system, user | {"content": "One"}, answer | {"content": "Two"}, user | {"content": "Three"},
     answer | {"content": "Four "}, user | {"content": "Five"}],
    [user | {"content": "One"}, answer | {"content": "Two"}],
    [user | {"content": "One"}, user | {"content": "Two"}],
]

cases = []
for name, template in TEMPLATES:
    for talk in TALKS:
        for generate in (True, False):
            turns = [m["role"] for m in talk if m["role"] != "system"]
            if template is PHI3_OLD and (generate != (turns[-1] == "user") or turns == ["user", "user"]):
                continue  # this template asks for the answer by itself
            try:
                texts, _ = render_jinja_template([talk], chat_template=template,
                                                 add_generation_prompt=generate, bos_token="<s>",
                                                 eos_token="</s>")
                text = texts[0]
            except Exception as error:
                assert "alternate" in str(error) or "system" in str(error), error
                text = None
            cases.append({"name": name, "template": template, "messages": talk, "generate": generate,
                          "text": text})
out = pathlib.Path(__file__).parent / "chat.json"
out.write_text(json.dumps(cases, indent=0) + "\n")
print(len(cases), "cases")
