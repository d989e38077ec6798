#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write a random-weight llama-architecture GGUF v3 file (stdlib only, no download).

SPM tokenizer: <unk> <s> </s>, 256 byte tokens, single ASCII characters, made-up words.
Residual dimension 0 is held constant by construction (no layer writes to it), so
output.weight[:,0] works as a per-token logit bias: byte/control tokens never come out and
--eos-bias sets how soon a request ends (lower = longer outputs; with about V visible tokens and
logit spread s, P(eos) per step ~ exp(eos_bias) / (V * exp(s*s/2))).

  make_gguf.py -o tiny.gguf                                  # 4 layers, dim 128, f16, ~0.9 M params
  make_gguf.py -o s.gguf --dim 512 --layers 8 --heads 8 --kv-heads 4 --ffn 1536 --type q8_0
  make_gguf.py -o moe.gguf --experts 8 --experts-used 2      # Mixtral-style mixture of experts
"""
import argparse, array, random, struct

p = argparse.ArgumentParser()
p.add_argument('-o', '--out', required=True)
p.add_argument('--dim', type=int, default=128)
p.add_argument('--layers', type=int, default=4)
p.add_argument('--heads', type=int, default=4)
p.add_argument('--kv-heads', type=int, default=2)
p.add_argument('--ffn', type=int, default=384)
p.add_argument('--vocab', type=int, default=1024)
p.add_argument('--ctx', type=int, default=8192)
p.add_argument('--experts', type=int, default=0)
p.add_argument('--experts-used', type=int, default=2)
p.add_argument('--type', choices=['f32', 'f16', 'q8_0', 'q4_0'], default='f16')
p.add_argument('--eos-bias', type=float, default=2.0)
p.add_argument('--logit-sd', type=float, default=1.0)
p.add_argument('--seed', type=int, default=1)
a = p.parse_args()
rnd = random.Random(a.seed)
for d in (a.dim, a.ffn):
    if d % 32: p.error('dim and ffn must be multiples of 32')
if a.dim % a.heads or a.heads % a.kv_heads: p.error('heads must divide dim, kv-heads divide heads')

# ---- vocabulary --------------------------------------------------------------------------
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
toks = [('<unk>', 0.0, UNKNOWN), ('<s>', 0.0, CONTROL), ('</s>', 0.0, CONTROL)]
toks += [('<0x%02X>' % i, 0.0, BYTE) for i in range(256)]
toks += [('\u2581', -1000.0, NORMAL)] + [(chr(c), -1001.0 - c, NORMAL) for c in range(33, 127)]
# SPM merges pairs bottom-up, so every multi-character token needs its prefixes in the vocabulary.
seen = {t[0] for t in toks}
syl = [c + v for c in 'bdfgklmnprstvz' for v in 'aeiou']
while len(toks) < a.vocab:
    w = '\u2581' + ''.join(rnd.choice(syl) for _ in range(rnd.randint(1, 3)))
    for n in range(2, len(w) + 1):
        s = w[:n]
        if s not in seen and len(toks) < a.vocab:
            seen.add(s); toks.append((s, float(-len(toks)), NORMAL))
toks = toks[:a.vocab]
NV = len(toks)

# ---- tensors -----------------------------------------------------------------------------
POOL = array.array('f', (rnd.gauss(0, 1) for _ in range(1 << 18)))
F32, F16, Q4_0, Q8_0 = 0, 1, 2, 8
WT = {'f32': F32, 'f16': F16, 'q8_0': Q8_0, 'q4_0': Q4_0}[a.type]

def row(n, sd):
    o = rnd.randrange(len(POOL) - n)
    return [x * sd for x in POOL[o:o + n]]

def enc(r, t):
    if t == F32: return struct.pack('<%df' % len(r), *r)
    if t == F16: return struct.pack('<%de' % len(r), *r)
    out = bytearray()
    for i in range(0, len(r), 32):
        b = r[i:i + 32]
        if t == Q8_0:
            d = max(map(abs, b)) / 127 or 1e-8
            out += struct.pack('<e32b', d, *(max(-127, min(127, round(x / d))) for x in b))
        else:
            m = max(b, key=abs); d = m / -8 or 1e-8
            q = [max(0, min(15, int(x / d + 8.5))) for x in b]
            out += struct.pack('<e16B', d, *(q[j] | q[j + 16] << 4 for j in range(16)))
    return bytes(out)

tensors = []                                    # name, ne, type, bytes
def mat(name, nin, nout, sd, fix=None, t=WT, nexp=0):
    data = bytearray()
    for e in range(nexp or 1):
        for o in range(nout):
            r = row(nin, sd)
            if fix: fix(o, r)
            data += enc(r, t)
    tensors.append((name, [nin, nout] + ([nexp] if nexp else []), t, bytes(data)))
def vec(name, n, val=1.0):
    tensors.append((name, [n], F32, struct.pack('<%df' % n, *([val] * n))))

D, L, F, HD = a.dim, a.layers, a.ffn, a.dim // a.heads
KV = HD * a.kv_heads
C = 4.0                                         # constant of residual dimension 0
rms = (1 + C * C / D) ** 0.5 * 1.5              # rough rms of the last hidden state
def emb(o, r): r[0] = C
def keep0(o, r):
    if o == 0: r[:] = [0.0] * len(r)
def head(v, r):
    kind = toks[v][2]
    bias = a.eos_bias if v == 2 else (0.0 if kind == NORMAL and len(toks[v][0]) > 2 else -30.0)
    r[0] = bias * rms / C
mat('token_embd.weight', D, NV, 1.0, emb, F16 if WT != F32 else F32)
for i in range(L):
    b = 'blk.%d.' % i
    vec(b + 'attn_norm.weight', D)
    mat(b + 'attn_q.weight', D, D, D ** -.5); mat(b + 'attn_k.weight', D, KV, D ** -.5)
    mat(b + 'attn_v.weight', D, KV, D ** -.5); mat(b + 'attn_output.weight', D, D, D ** -.5, keep0)
    vec(b + 'ffn_norm.weight', D)
    if a.experts:
        mat(b + 'ffn_gate_inp.weight', D, a.experts, D ** -.5, t=F32)
        mat(b + 'ffn_gate_exps.weight', D, F, D ** -.5, nexp=a.experts)
        mat(b + 'ffn_up_exps.weight', D, F, D ** -.5, nexp=a.experts)
        mat(b + 'ffn_down_exps.weight', F, D, F ** -.5, keep0, nexp=a.experts)
    else:
        mat(b + 'ffn_gate.weight', D, F, D ** -.5); mat(b + 'ffn_up.weight', D, F, D ** -.5)
        mat(b + 'ffn_down.weight', F, D, F ** -.5, keep0)
vec('output_norm.weight', D)
mat('output.weight', D, NV, a.logit_sd * D ** -.5, head, F16 if WT != F32 else F32)

# ---- file --------------------------------------------------------------------------------
U32, I32, FLT, BOOL, STR, ARR = 4, 5, 6, 7, 8, 9
def s(x): x = x.encode() if isinstance(x, str) else x; return struct.pack('<Q', len(x)) + x
def kv(k, t, v):
    body = {U32: lambda: struct.pack('<I', v), FLT: lambda: struct.pack('<f', v),
            BOOL: lambda: struct.pack('<?', v), STR: lambda: s(v)}[t]()
    return s(k) + struct.pack('<I', t) + body
def karr(k, t, vs):
    b = b''.join(s(v) if t == STR else struct.pack('<f' if t == FLT else '<i', v) for v in vs)
    return s(k) + struct.pack('<IIQ', ARR, t, len(vs)) + b
TEMPLATE = ("{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}\n{% endfor %}"
            "{% if add_generation_prompt %}<|assistant|>\n{% endif %}")
kvs = [kv('general.architecture', STR, 'llama'), kv('general.name', STR, 'random-%dx%d-%s' % (L, D, a.type)),
       kv('general.alignment', U32, 32), kv('general.file_type', U32, {F32: 0, F16: 1, Q4_0: 2, Q8_0: 7}[WT]),
       kv('llama.context_length', U32, a.ctx), kv('llama.embedding_length', U32, D),
       kv('llama.block_count', U32, L), kv('llama.feed_forward_length', U32, F),
       kv('llama.attention.head_count', U32, a.heads), kv('llama.attention.head_count_kv', U32, a.kv_heads),
       kv('llama.attention.layer_norm_rms_epsilon', FLT, 1e-5), kv('llama.rope.dimension_count', U32, HD),
       kv('llama.rope.freq_base', FLT, 10000.0), kv('llama.vocab_size', U32, NV),
       kv('tokenizer.ggml.model', STR, 'llama'), kv('tokenizer.ggml.pre', STR, 'default'),
       karr('tokenizer.ggml.tokens', STR, [t[0] for t in toks]),
       karr('tokenizer.ggml.scores', FLT, [t[1] for t in toks]),
       karr('tokenizer.ggml.token_type', I32, [t[2] for t in toks]),
       kv('tokenizer.ggml.bos_token_id', U32, 1), kv('tokenizer.ggml.eos_token_id', U32, 2),
       kv('tokenizer.ggml.unknown_token_id', U32, 0), kv('tokenizer.ggml.add_bos_token', BOOL, True),
       kv('tokenizer.ggml.add_eos_token', BOOL, False), kv('tokenizer.chat_template', STR, TEMPLATE)]
if a.experts:
    kvs += [kv('llama.expert_count', U32, a.experts), kv('llama.expert_used_count', U32, a.experts_used)]
pad = lambda n: -n % 32
info, off = b'', 0
for name, ne, t, d in tensors:
    info += s(name) + struct.pack('<I', len(ne)) + struct.pack('<%dQ' % len(ne), *ne) + struct.pack('<IQ', t, off)
    off += len(d) + pad(len(d))
hdr = b'GGUF' + struct.pack('<IQQ', 3, len(tensors), len(kvs)) + b''.join(kvs) + info
with open(a.out, 'wb') as f:
    f.write(hdr + b'\0' * pad(len(hdr)))
    for _, _, _, d in tensors: f.write(d + b'\0' * pad(len(d)))
n = 0
for _, ne, _, _ in tensors:
    k = 1
    for x in ne: k *= x
    n += k
print('%s: %d tensors, %.2f M parameters, vocab %d' % (a.out, len(tensors), n / 1e6, NV))
