#!/usr/bin/env python3
"""Writes jinja.json: what jinja2 makes of the expressions and small templates below, in the environment that
transformers renders chat templates in; null where it refuses them."""
import json
import pathlib

from transformers.utils.chat_template_utils import render_jinja_template

TALK = [{"role": "system", "content": " Be \"brief\" \u00e9 "}, {"role": "user", "content": "Hi\nthere"},
        {"role": "assistant", "content": "<think>\nx\n</think>\n\nYo"}, {"role": "user", "content": "ok"}]
# One expression between two double semicolons.
EXPRESSIONS = r"""
1 + 2 * 3 - 4 // 3 + 7 % 3 ** 2 ;; -7 // 2 ;; -7 % 3 ;; 7 / 2 ;; 2 ** 10 ;; 1.5 * 2 ;; 10 / 5 ;; 1e20 ;;
1e-7 ;; 123456789.123 ;; 0.1 + 0.2 ;; -3 ** 2 ;; 5 % -3 ;; 5.5 // 2 ;; True + 1 ;; 1e16 ;;
1234567890123456.0 ;; 12345678901234567.0 ;; 0.0001 ;; 0.00001 ;; 100.0 ;; 1.0e5 ;; 2 ** -1 ;; 5.5 % 2 ;;
-5.5 % 2 ;; -5.5 // 2 ;;
'a' ~ 1 ~ none ~ true ~ 1.0 ;; 'a' * 3 ;; 'x' in 'xyz' ;; 'x' not in 'xyz' ;; 1 in [1,2] ;;
'a' in {'a':1} ;; none is none ;; x is defined ;; x is not defined ;; messages is iterable ;;
messages is sequence ;; messages is mapping ;; messages[0] is mapping ;; 'a' is string ;; 1 is number ;;
1 is integer ;; 1.0 is float ;; true is boolean ;; 1 is odd ;; 2 is even ;; 9 is divisibleby 3 ;;
9 is divisibleby(2) ;; 'A' is upper ;; 'a' is lower ;; '' is lower ;; x is none ;; none is defined ;;
x is iterable ;; x is sequence ;; x is mapping ;; 1 is iterable ;; namespace(a=1) is mapping ;;
{} is sequence ;; range is callable ;; x is callable ;; true is number ;; true is integer ;; 1 is true ;;
false is false ;;
[1,2,3][1:] ;; [1,2,3][::-1] ;; [1,2,3][-1] ;; [1,2,3][5] ;; 'hello'[1:3] ;; 'hello'[::-1] ;;
'hello'[-2:] ;; 'héllo'[1] ;; (1,2) ;; (1,) ;; () ;; [] ;; {} ;;
{'a': 1, 'b': [1, 'x', none, true, 1.5]} ;; 'it\'s' ;; "q\"q" ;; ['it\'s'] ;; ['a"b\'c'] ;; ["\n\t\\"] ;;
['é\u00a0\x01'] ;; [1,2,3,4,5][1:4:2] ;; [1,2,3][-2:] ;; [1,2,3][:-1] ;; [1,2,3][10:] ;; 'abc'[5:] ;;
'hello'[::2] ;; [1,2,3][2:0:-1] ;; [1,2,3][-100:100] ;; [nope] ;;
messages ;; messages[0].role ;; messages[0]['content'] ;; messages[-1].content ;; messages[0].nope ;;
messages[0].get('x', 'd') ;; messages[0].get('role') ;; messages[0].keys()|list ;;
messages[0].items()|list ;; messages[0]|items|list ;; messages[9] ;; messages[9].role ;;
messages[0]['nope'] ;; messages[0].values()|list ;; messages.0.role ;;
'  a b '|trim ;; 'xxaxx'|trim('x') ;; 'abc'|upper ;; 'ABC'|lower ;; 'hello wORLD-foo (bar'|title ;;
'hello wORLD'|capitalize ;; 'élan ßx'|upper ;; 'ÀÉ'|lower ;; 'école été'|title ;;
'a,b'|replace(',', ';') ;; 'aaa'|replace('a','b',2) ;; 'abc'|length ;; messages|length ;; messages|first ;;
messages|last ;; 'abc'|first ;; 'abc'|list ;; 'abc'|reverse ;; [3,1,2]|sort ;; ['b','A','c']|sort ;;
['b','A','c']|sort(reverse=true) ;; ['b','A','c']|sort(case_sensitive=true) ;; [1,2]|join(', ') ;;
[1,none,'x']|join ;; '42'|int ;; '4.7'|int ;; 'x'|int ;; 'x'|int(7) ;; 3.9|int ;; '1.5'|float ;; 5|float ;;
-3|abs ;; 3.14159|round(2) ;; 2.5|round ;; 7|round ;; 2.5|round(method='ceil') ;;
7|round(method='floor') ;; ''|first ;; []|last ;; messages|map(attribute='role')|first ;;
'Привет мир'|upper ;; ' 42 '|int ;; '-7'|int ;; '1e3'|float ;; true|int ;; none|int ;;
{'b':2,'a':1}|dictsort ;; {'b':1,'A':2}|dictsort(by='value') ;; {'b':1,'A':2}|dictsort ;;
{'b':1,'A':2}|dictsort(true) ;; {'b':1,'A':2}|dictsort(reverse=true) ;;
messages|map(attribute='role')|list ;; messages|map(attribute='role')|join(',') ;;
messages|selectattr('role','equalto','user')|list ;; messages|rejectattr('role','==','user')|list|length ;;
messages|selectattr('role')|list|length ;; [1,0,2]|select|list ;; [1,2,3]|select('odd')|list ;;
[1,2,3]|reject('gt', 1)|list ;; ['a','b']|map('upper')|list ;; [' a ']|map('trim')|join ;;
[1,2,2,1]|unique|list ;; [1,2]|sum ;; [1,2]|max ;; [1,2]|min ;; ['b','A']|min ;;
messages|selectattr('role','equalto','nobody') and 'yes' ;;
messages|selectattr('role','equalto','user')|length ;;
(messages|selectattr('role','equalto','user')|list)[0].content ;;
messages|sort(attribute='role')|map(attribute='role')|join(' ') ;; messages|map('length')|list ;;
['a','bb']|map('replace','b','c')|list ;; [{'n':2},{'n':1}]|sort(attribute='n')|first ;;
[3,1]|sort|first ;; []|max ;; []|sum ;;
messages[0]|tojson ;; messages|tojson(indent=2) ;; {'b':1,'a':[1,2.5,true,none,'é"\n\u2028\x7f']}|tojson ;;
{'b':1,'a':2}|tojson(sort_keys=true) ;; {'é':'😀\x7f'}|tojson(ensure_ascii=true) ;;
[1,[],{}]|tojson(indent=4) ;; [1,2]|tojson(separators=(',',':')) ;; 'a'|tojson ;; 1.0|tojson ;;
none|tojson ;; nope|tojson ;; {1:2,true:3,none:4}|tojson ;; (1,2)|tojson ;; '</script>&\''|tojson ;;
[1,2]|tojson(indent='\t') ;; {'a':1}|tojson(indent=0) ;;
'a\nb\n\nc'|indent ;; 'a\nb\n\nc'|indent(2) ;; 'a\nb\n\nc'|indent(2, true) ;;
'a\nb\n\nc'|indent(2, true, true) ;; 'a\nb\n'|indent(width=3) ;; ''|indent(2,true) ;;
'a\nb'|indent('> ') ;; '%s and %d'|format('x', 3) ;; '%s' % 'y' ;; '%s-%s' % ('a', 1) ;;
'%.2f' % 3.14159 ;; '%d' % 3.99 ;; '100%%' % () ;; '%s' % [1] ;; '%s %s' % 'a' ;;
undefinedvar|default('d') ;; ''|default('d') ;; ''|default('d', true) ;; none|default('d') ;;
none|d('d', true) ;; nope|default ;; nope|string ;; 12|string ;; nope|length ;; nope|list ;; nope|join ;;
nope|upper ;; nope|trim ;; nope|first ;; nope|int ;; nope|float ;; nope|items|list ;;
nope|map('upper')|list ;; nope|replace('a','b') ;; none|string ;; none|upper ;; 1|trim ;;
true|string|lower ;;
' a b  c '.split() ;; 'a,b,,c'.split(',') ;; 'a,b,c'.split(',', 1) ;; 'a,b,c'.rsplit(',', 1) ;;
' a b c '.split(none, 1) ;; 'abc'.startswith('ab') ;; 'abc'.endswith('bc') ;;
'abc'.startswith(('x','a')) ;; '  a'.lstrip() ;; 'a  '.rstrip() ;; '\n\na\n'.strip('\n') ;;
'xyx'.strip('x') ;; 'Hello'.upper() ;; 'Hello'.lower() ;; 'hello wORLD'.title() ;;
"they're bill's".title() ;; 'hello'.capitalize() ;; 'a-b'.replace('-','+') ;; 'a-b-c'.replace('-','+',1) ;;
'ab'.replace('','-') ;; 'hello'.find('l') ;; 'hello'.find('z') ;; 'hello'.rfind('l') ;;
'hello'.count('l') ;; '-'.join(['a','b']) ;; '12'.isdigit() ;; 'a'.isdigit() ;; ' '.isspace() ;;
'abc'.removeprefix('a') ;; 'abc'.removesuffix('c') ;; 'a\nb\r\nc'.splitlines() ;;
'a</think>b</think>c'.split('</think>')[-1] ;; ''.split() ;; ''.split(',') ;; 'a'.split('') ;;
'aXbX'.split('X') ;; 'a b'.split(maxsplit=1) ;; '\u00a0a\u2003'.strip() ;; 'abab'.strip('ab') ;;
'héé'.rfind('é') ;; ''.count('') ;; 'aaa'.count('aa') ;; 'ß1a'.title() ;; 'o1x éa'.title() ;;
'a\n'.splitlines(true) ;; 'a'.split('b', -1) ;;
range(5)|list ;; range(1,10,3)|list ;; range(5,0,-2)|list ;; range(0)|list ;; dict(a=1,b='x') ;;
1 if true else 2 ;; 1 if false ;; 1 if false else 2 if false else 3 ;; not true ;; not not 1 ;;
true and 'x' ;; '' or 'y' ;; 1 < 2 < 3 ;; 1 < 2 > 3 ;; 1 == 1.0 ;; 'a' < 'b' ;; [1,2] == [1,2] ;;
[1,2] < [1,3] ;; {'a':1} == {'a':1.0} ;; none == none ;; nope == none ;; nope == nope2 ;;
(1 if nope else 2) ;; nope.x is defined ;; messages[0].x is defined ;; messages[0].x.y is defined ;;
not 1 == 2 ;; not 'a' in 'b' ;; 1 and 0 or 2 ;; 'a' == 'a' and 'b' != 'c' ;; 1 + 1 ~ 'x' ;; 'a' ~ 1 + 1 ;;
2 * 'x' ~ 'y' ;; 'a' if 1 is defined else 'b' ;; 1 is defined and 2 is defined ;; 'x' ~ ('a' if false) ;;
(1, 2) + (3,) ;; [1] + [2] ;; [0] * 3 ;; 1, 2 ;; nope < 1 ;; 'a' < 1 ;; 1 in 5 ;; 1 in 'a' ;;
'a' in none ;; 'a' in nope ;; nope in [1] ;; nope in 'a' ;;
'<b>'|e ;; ('<b>'|safe) + '<i>' ;; '<b>'|safe ;; ('<'|e) ~ '<' ;; 'a' 'b' ;;
"\x41\u00e9\U0001F600\101\q" ;; 1_000 ;; 0x1f ;; 1.5e3 ;; {'a': {'b': {'c': 1}}}.a.b.c ;;
{'a':{'b':1}}['a']['b'] ;; 'a' is in ['a'] ;; 'a' is eq 'a' ;; 1 is lt 2 ;; 1 is sameas 1 ;;
'a' is in('abc') ;; raise_exception('no') ;; nope + 'x' ;; 'a' + 1 ;; 1 + 'a' ;; none + 'a' ;; nope() ;;
none|length ;; 5|list ;; messages[0].content.foo ;; none.x ;; none['x'] ;; none[0] ;;
messages[1:]|length ;; messages[:0] ;; nope[1:] ;; namespace is defined ;; 1 / 0 ;; 1 // 0 ;;
namespace(_a=1) ;; 'a'['b'] ;; messages['x'] ;; -'a' ;; -nope ;; {}.x ;; {'items':5}['items'] ;;
'x'|e|upper ;; nope.x ;; nope['x'] ;; messages.role ;; range(3)[1] ;; (1,2)[0] ;; 'a' > nope ;;
messages|selectattr('role','in',['user'])|list|length ;; messages|map(attribute='x', default='q')|list ;;
{'a':1}|items|list ;; {'a':1}.items()|list ;; {}|length ;; {'a':1}|list ;;
[[1,2],[3]]|map('join','-')|list ;; [{'a':{'b':1}}]|map(attribute='a.b')|list ;;
[[5,6]]|map(attribute=1)|list ;; [[5,6]]|map(attribute='1')|list ;;
messages|selectattr('role','defined')|list|length ;; {'a':1}|attr('a') ;; [1,2,3]|length > 2 ;;
'x' if messages|length > 1 and messages[0].role == 'system' else 'y' ;; loop is defined ;; -1|abs ;; - 1 ;;
+5 ;; -(2) ;; 1 - -1 ;; bos_token + eos_token ;; tools is none ;; tools is defined ;;
add_generation_prompt ;; documents is none ;; unk_token is defined ;; not tools ;;
messages[0].role == 'system' and messages|length ;; messages | length ;; 'a' | upper | lower ;;
messages[1]['content'].split('\n')[0] | upper ;; messages[-1]['role'] in ['user', 'tool'] ;;
(messages|first).role ;; {'a':1, 'a':2} ;; {'a' ~ 1: 2} ;; [1,2,] ;; {'a':1,} ;; dict({'a':1}, b=2) ;;
3 * 'ab'
"""
TEMPLATES = [
    '{% set x = none %}[{{ x[1:] }}]',
    'a\n{% if true %}\nb\n{% endif %}\nc\n',
    'a\n  {% if true %}  \n  b\n  {% endif %}\nc\n\n',
    'a  {%- if true -%}  b  {%- endif %}\n c',
    '  {{ 1 }}  \n  {{- 2 -}}  \n x',
    'x{# comment #}y\n{# c #}\nz',
    'x {#- c -#} y',
    '  {# c #}\nq',
    '{% raw %} {{ x }} {% endraw %}',
    '{%- raw -%}  {{ x }}  {%- endraw -%}  y',
    '  {% raw %}\n a {% endraw %}\n b',
    'a\r\nb\rc\r\n{% if 1 %}\r\nq{% endif %}\r\n',
    '{%+ if 1 %}x{%+ endif +%}\ny',
    'a\n   {%+ if 1 +%}\n x{% endif %}',
    '',
    '\n',
    'a\n\n',
    '{{ 1 }}\n',
    '{% if 1 %}x{% endif %}\n',
    "{{ {'a':{'b':1}}['a'] }}",
    "{{ {'a':{'b':1}} }}",
    "{{ '}}' }}",
    '{{ "%}" }}{% if \'%}\' %}x{% endif %}',
    "{{ 'a\nb' }}",
    '{ { {x} }',
    '{{ 1 -}}\n\n  x',
    '\n\n{%- for m in messages %}\n{{ m.role }}\n{%- endfor %}\n\n',
    '{% for m in messages %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}'
    '{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}'
    "{{ loop.previtem.role if loop.previtem is defined else '-' }}"
    "{{ loop.nextitem.role if loop.nextitem is defined }}{{ loop.cycle('a','b') }}"
    '{{ loop.changed(m.role) }}{{ loop.depth }};{% endfor %}',
    "{% for m in messages if m.role != 'system' %}{{ loop.index }}{{ m.role }}{{ loop.length }}"
    '{% else %}none{% endfor %}',
    '{% for m in [] %}x{% else %}none{% endfor %}',
    "{% for m in messages if m.role == 'z' %}x{% else %}none{% endfor %}",
    '{% for k, v in messages[0].items() %}{{ k }}={{ v }};{% endfor %}',
    "{% for k, v in {'a':1}|dictsort %}{{ k }}{{ v }}{% endfor %}",
    '{% for a, (b, c) in [(1,(2,3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}',
    "{% for c in 'abc' %}{{ c }}.{% endfor %}",
    "{% for k in {'a':1,'b':2} %}{{ k }}{% endfor %}",
    '{% for m in messages %}{% if loop.index == 2 %}{% continue %}{% endif %}{% if loop.index == 4 %}'
    '{% break %}{% endif %}{{ m.role }}{% endfor %}!',
    '{% for a in [1,2] %}{% for b in [1,2,3] %}{% if b == 2 %}{% break %}{% endif %}{{ a }}{{ b }}'
    ' {% endfor %}{{ loop.index }}{% endfor %}',
    '{% set x = 1 %}{% for i in [1,2] %}{{ x }}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}',
    "{% set ns = namespace(x=1, y='a') %}{% for i in [1,2] %}{% set ns.x = ns.x + i %}{% endfor %}"
    '{{ ns.x }}{{ ns.y }}{{ ns.z is defined }}',
    '{% if true %}{% set q = 5 %}{% endif %}{{ q }}',
    '{% set a, b = 1, 2 %}{{ a }}{{ b }}',
    '{% set a = 1, 2 %}{{ a }}',
    '{% set x %}a {{ 1 }} b{% endset %}[{{ x }}]{{ x|length }}',
    '{% set x | upper | trim %} ab {% endset %}[{{ x }}]',
    '{% set x %}{% set y = 1 %}{% endset %}{{ y is defined }}',
    '{% set messages = messages[1:] %}{{ messages|length }}{% for m in messages %}{{ m.role }}{% endfor %}',
    "{% macro f(a, b='x', c=none) %}<{{ a }}|{{ b }}|{{ c }}>{% endmacro %}{{ f(1) }}{{ f(1, 2) }}"
    '{{ f(a=3, c=4) }}{{ f() }}',
    '{% macro f(a) %}{{ a }}{% if a > 0 %}{{ f(a - 1) }}{% endif %}{% endmacro %}{{ f(3) }}',
    '{% macro f() %}{{ x }}{% endmacro %}{% set x = 5 %}{{ f() }}',
    '{% set x = 5 %}{% macro f() %}{{ x }}{% set x = 6 %}{{ x }}{% endmacro %}{{ f() }}{{ x }}',
    '{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}',
    '{% macro f(a) %}{{ a }}{% endmacro %}{{ f(b=2) }}',
    '{% macro f() %}[{{ caller() }}]{% endmacro %}{% call f() %}hi{% endcall %}',
    '{% macro f() %}[{{ caller(1) }}{{ caller(2) }}]{% endmacro %}{% call(x) f() %}hi{{ x }}{% endcall %}',
    '{% macro f(m) -%}\n  {{ m.role }}\n{%- endmacro %}\n{% for m in messages %}\n{{ f(m) }}\n{% endfor %}',
    "{% macro f(x) %}{{ x }}{% endmacro %}{{ f('a')|upper }}{{ f('a') ~ 'b' }}{{ f('a') + 'b' }}"
    '{{ f is defined }}',
    "{% filter upper %}abc{{ 'd' }}{% endfilter %}",
    "{% filter replace('a','b')|trim %} aa {% endfilter %}",
    '{% with a=1, b=2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}',
    '{% with %}{% set z = 1 %}{{ z }}{% endwith %}{{ z is defined }}',
    '{% generation %}abc{{ 1 }}{% endgeneration %}',
    '{%- generation -%}  a {% set z = 1 %}{%- endgeneration -%} {{ z is defined }}',
    '{% for m in messages %}{% generation %}{{ m.role }}{% endgeneration %}{% endfor %}',
    '{% if false %}a{% elif false %}b{% elif true %}c{% else %}d{% endif %}',
    '{% if false %}a{% elif false %}b{% else %}d{% endif %}',
    "{% if messages and messages[0]['role'] == 'system' %}S{% endif %}",
    "{% if not (messages[0].role == 'system') %}S{% else %}T{% endif %}",
    '{% set x.y = 1 %}',
    '{% set x = {} %}{% set x.y = 1 %}{{ x }}',
    '{% set loop = 1 %}{{ loop }}',
    "{{ ''.__class__ }}",
    '{{ messages.__class__.__mro__ }}',
    '{{ (1).__class__ }}',
    "{% set x = messages|map(attribute='role') %}{{ x|join }}{{ x|join }}",
    "{{ raise_exception('bad ' ~ messages[0].role) }}",
    "{% if messages[0].role != 'user' %}{{ raise_exception('roles') }}{% endif %}",
    "{% set x = 'a' if messages|length > 1 else 'b' %}{{ x }}",
    '{% set ns = namespace(found=false) %}{% for m in messages|reverse %}'
    "{% if not ns.found and m.role == 'user' %}{% set ns.found = true %}{{ loop.index }}{% endif %}"
    '{% endfor %}',
    '{% for m in messages[::-1] %}{% set i = (messages|length - 1) - loop.index0 %}{{ i }}{% endfor %}',
    "{% set c = messages[2].content %}{% if '</think>' in c %}"
    "{% set r = c.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}"
    "{% set c = c.split('</think>')[-1].lstrip('\\n') %}{% endif %}{{ r }}|{{ c }}",
    '{% for m in messages %}{%- if m.content is string %}{{ m.content }}{%- else %}'
    '{% for p in m.content %}{{ p.text }}{% endfor %}{%- endif %}\n{% endfor %}',
    "{{ '<|im_start|>' + messages[0].role + '\n' + messages[0].content + '<|im_end|>' + '\n' }}",
    '{% set x = [1,2] + [3] %}{{ x }}{% set x = x + [4] %}{{ x|length }}',
    "{{ messages[0].content | replace('é', 'e') | trim }}",
    "{% set ns = namespace() %}{% set ns.a = 1 %}{{ ns.a }}{{ ns['a'] }}",
    '{{ namespace(a=1).a }}',
    '{% set x = loop %}',
    '{{ loop }}',
    '{% for x in range(3) %}{{ x }}{% endfor %}',
    '{% macro m(a) %}{% for x in a %}{{ x }}{{ loop.index }}{% endfor %}{% endmacro %}{{ m([7,8]) }}',
    '{% for i in [1] %}{% macro q() %}Q{{ i }}{% endmacro %}{{ q() }}{% endfor %}',
    '{%- set x -%}  y  {%- endset -%}[{{ x }}]',
    '{% if x is defined and x is not none and x|length > 0 %}a{% else %}b{% endif %}',
    '{% if tools %}T{% endif %}{% if tools is not none %}U{% endif %}{% if not tools is defined %}'
    'V{% endif %}',
    "{{ '' if loop is undefined else 'x' }}",
    "{{ messages[0]['content']['text'] }}",
    '{{ bos_token }}{{ eos_token }}{{ pad_token }}',
    "{{- bos_token -}}  {{ 'x' -}} \n y",
    "{% set content = messages[0].content if messages[0].content is string else '' %}{{ content }}",
    "{{ ('a' if true else 'b') ~ ('c' if false else 'd') }}",
    "{{ not messages[0].role == 'user' }}",
    "{% if (messages[0].role == 'user') != (0 % 2 == 0) %}X{% endif %}",
    "{{ 'abc'[0]|upper ~ 'abc'[1:] }}",
    '{{ messages[loop.index0] }}',
    "{{ {'a':1}.a + 1 }}",
    '{%set x=1%}{{x}}',
    "{{x}}{{'y'}}{%if 1%}z{%endif%}",
    '{% if messages %}\n\n{% endif %}\n\nX',
    '\n{% set x = 1 %}\n{% set y = 2 %}\n{{ x }}\n\n{{ y }}\n',
]


def render(template):
    try:
        return render_jinja_template([TALK], chat_template=template, add_generation_prompt=True,
                                     bos_token="<s>", eos_token="</s>")[0][0]
    except Exception:
        return None


cases = [{"template": t, "text": render(t)}
         for t in ["{{ " + e.strip() + " }}" for e in EXPRESSIONS.split(";;")] + TEMPLATES]
out = pathlib.Path(__file__).parent / "jinja.json"
out.write_text(json.dumps({"talk": TALK, "cases": cases}, indent=0) + "\n")
print(len(cases), "cases,", sum(c["text"] is None for c in cases), "refused")
