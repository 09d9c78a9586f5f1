# shellcheck shell=bash disable=SC2154 # read by a script that sets writer and die
# Models of twelve tokens in the working folder: m of two blocks, one of one, bare of one without a tokenizer;
# and a text.
mkdir -p m
cat >m/config.json <<'JSON'
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 32, "intermediate_size": 64,
 "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 12,
 "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
 "tie_word_embeddings": true, "torch_dtype": "float16", "bos_token_id": 1, "eos_token_id": 2}
JSON
cat >m/tokenizer.json <<'JSON'
{"version": "1.0",
 "added_tokens": [
  {"id": 1, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
   "special": true},
  {"id": 2, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
   "special": true}],
 "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
  {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
 "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
  {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
 "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true,
  "vocab": {"<unk>": 0, "<s>": 1, "</s>": 2, "▁": 3, "a": 4, "b": 5, "c": 6, "d": 7, "ab": 8, "▁c": 9,
   "abd": 10, "▁cab": 11},
  "merges": ["a b", "▁ c", "ab d", "▁c ab"]}}
JSON
cat >m/tokenizer_config.json <<'JSON'
{"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": true, "add_eos_token": false,
 "chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}"}
JSON
echo '{"bos_token_id": 1, "eos_token_id": [2]}' >m/generation_config.json
"$writer" m || die 'no model'
for _ in $(seq 20); do printf 'abd cab dab c abdd cab bad dad cabab '; done >text
mkdir one && cp m/*.json one
sed -i 's/"num_hidden_layers": 2/"num_hidden_layers": 1/' one/config.json
"$writer" one || die 'no model'
cp -r one bare && rm bare/tokenizer*.json
