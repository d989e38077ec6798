// SPDX-License-Identifier: Apache-2.0
// A small OpenAI-compatible server over a real llama.cpp (node-llama-cpp, prebuilt for the CPU, no download).
//
//   node llama_openai_server.mjs MODEL.gguf [PORT=0] [SEQUENCES=8] [CONTEXT PER SEQUENCE=2048]
//
// Loopback only; prints "ready PORT" when it serves. Requests in flight share one context, so that llama.cpp
// decodes them in batches; more than SEQUENCES wait. THREADS is the number of ggml threads.
import http from 'node:http';
import {getLlama, LlamaLogLevel} from 'node-llama-cpp';

const [modelPath, port = 0, sequences = 8, contextSize = 2048] = process.argv.slice(2);
const threads = Number(process.env.THREADS || 1);
const llama = await getLlama({
  gpu: false, build: 'never', skipDownload: true, usePrebuiltBinaries: true, progressLogs: false,
  logLevel: LlamaLogLevel.warn, maxThreads: threads,
});
const model = await llama.loadModel({modelPath});
const context = await model.createContext({
  sequences: Number(sequences), contextSize: Number(contextSize), batchSize: 512, flashAttention: false, threads,
});
const name = model.filename ?? 'model';
const totals = {requests: 0, prompt_tokens: 0, generation_tokens: 0, running: 0};

// Sequences are kept and cleared: a disposed one gives its place back only later.
const free = Array.from({length: Number(sequences)}, () => context.getSequence());
const waiting = [];
const take = () => free.pop() ?? new Promise(resolve => waiting.push(resolve));
async function give(sequence) {
  await sequence.clearHistory();
  if (waiting.length)
    waiting.shift()(sequence);
  else
    free.push(sequence);
}

function promptOf(body) {
  if (body.prompt !== undefined)
    return body.prompt;
  return body.messages.map(m => `<|${m.role}|>\n${m.content}\n`).join('') + '<|assistant|>\n';
}

function sendJson(response, status, value) {
  response.writeHead(status, {'content-type': 'application/json'}).end(JSON.stringify(value));
}

async function complete(body, chat, response) {
  const arrived = performance.now();
  const tokens = [model.tokens.bos, ...model.tokenize(promptOf(body))];
  const max = body.max_tokens ?? body.max_completion_tokens ?? 64;
  if (tokens.length + max > contextSize) {
    const message = 'context size exceeded';
    return sendJson(response, 400, {error: {message, type: 'invalid_request_error', code: 400}});
  }

  const sequence = await take();
  const begun = performance.now();
  const object = !chat ? 'text_completion' : body.stream ? 'chat.completion.chunk' : 'chat.completion';
  const id = `chatcmpl-${Math.random().toString(36).slice(2)}`;
  const common = {id, object, created: Math.floor(Date.now() / 1000), model: name};
  const write = value => response.write(`data: ${JSON.stringify({...common, ...value})}\n\n`);
  const chunk = (delta, finish_reason, more) => write({
    choices: [{index: 0, ...(chat ? {delta} : {text: delta.content ?? ''}), finish_reason}], ...more,
  });
  if (body.stream) {
    response.writeHead(200, {'content-type': 'text/event-stream', 'cache-control': 'no-cache'});
    if (chat)
      chunk({role: 'assistant', content: ''}, null);
  }

  let n = 0, text = '', finish = 'length', first = begun, before = [];
  totals.running++;
  try {
    const seed = body.seed ?? Math.floor(Math.random() * 2 ** 31);
    const options = {temperature: body.temperature ?? 1, seed, yieldEogToken: true};
    for await (const token of sequence.evaluate(tokens, options)) {
      if (!n++)
        first = performance.now();
      if (response.destroyed) {
        finish = 'cancelled';
        break;
      }
      if (model.isEogToken(token) && !body.ignore_eos) {
        finish = 'stop';
        n--;
        break;
      }
      const piece = model.detokenize([token], false, before);
      before = [...before, token].slice(-4);
      text += piece;
      if (body.stream)
        chunk({content: piece}, null);
      if (n >= max)
        break;
    }
  } finally {
    totals.running--;
    await give(sequence);
  }

  const usage = {prompt_tokens: tokens.length, completion_tokens: n, total_tokens: tokens.length + n};
  const timings = {
    queue_ms: begun - arrived, prompt_n: tokens.length, prompt_ms: first - begun,
    predicted_n: n, predicted_ms: performance.now() - first,
  };
  totals.requests++;
  totals.prompt_tokens += tokens.length;
  totals.generation_tokens += n;
  if (!body.stream) {
    const said = chat ? {message: {role: 'assistant', content: text}} : {text};
    const choice = {index: 0, ...said, finish_reason: finish};
    return sendJson(response, 200, {...common, choices: [choice], usage, timings});
  }
  chunk({}, finish, {timings});
  if (body.stream_options?.include_usage)
    write({choices: [], usage, timings});
  response.end('data: [DONE]\n\n');
}

function metrics() {
  return Object.entries(totals).map(([key, value]) =>
    `# TYPE llama_${key} ${key === 'running' ? 'gauge' : 'counter'}\nllama_${key} ${value}\n`).join('');
}

const server = http.createServer(async (request, response) => {
  const chat = request.url === '/v1/chat/completions';
  if (request.url === '/metrics')
    return response.writeHead(200, {'content-type': 'text/plain; version=0.0.4'}).end(metrics());
  if (request.url === '/v1/models')
    return sendJson(response, 200, {object: 'list', data: [{id: name, object: 'model'}]});
  if (request.method !== 'POST' || !(chat || request.url === '/v1/completions'))
    return response.writeHead(404).end();
  try {
    let text = '';
    for await (const piece of request.setEncoding('utf8'))
      text += piece;
    await complete(JSON.parse(text), chat, response);
  } catch (error) {
    if (!response.headersSent && error instanceof SyntaxError)
      return sendJson(response, 400, {error: {message: 'bad JSON', type: 'invalid_request_error', code: 400}});
    console.error(error);
    response.destroy();
  }
});
server.listen(Number(port), '127.0.0.1', () => console.log(`ready ${server.address().port}`));
process.on('SIGTERM', () => process.exit(0));
