// SPDX-License-Identifier: Apache-2.0
// Clients as users write them, of three APIs: the SDKs of Ollama, Anthropic and OpenAI (responses, embeddings). What an
// SDK read from the network is kept byte for byte beside what it made of it.
//
//   node sdks.mjs <<< '{"base_url": …, "requests": [{"id": …, "sdk": …, "body": …, "headers": …, "leave_after": N}]}'
//
// One line of JSON for each request, all made at once: id, text, thinking, tools, usage, raw (base64), and error if it
// failed. leave_after: abort after so many pieces of text.
import Anthropic from '@anthropic-ai/sdk';
import {Ollama} from 'ollama';
import OpenAI from 'openai';
import {recordingFetch} from './recording_fetch.mjs';

let input = '';
for await (const piece of process.stdin.setEncoding('utf8'))
  input += piece;
const job = JSON.parse(input);

/* Hands the pieces of text to @notes; true: the client has had enough. */
function add(notes, request, text) {
  notes.text += text;
  notes.n = (notes.n ?? 0) + (text ? 1 : 0);
  return text && notes.n === request.leave_after;
}

function ollamaClient(request, notes, headers) {
  return new Ollama({host: job.base_url, fetch: recordingFetch(notes), headers});
}

function takeOllama(notes, request, part) {
  notes.thinking += part.message?.thinking ?? part.thinking ?? '';
  for (const call of part.message?.tool_calls ?? [])
    notes.tools.push(call.function.arguments);
  if (part.done)
    notes.usage = part;
  return add(notes, request, part.message?.content ?? part.response ?? '');
}

async function askOllama(request, notes, headers, call) {
  const answer = await ollamaClient(request, notes, headers)[call](request.body);
  if (!request.body.stream) {
    takeOllama(notes, request, answer);
    return;
  }
  for await (const part of answer)
    if (takeOllama(notes, request, part))
      answer.abort();
}

const sdks = {
  'ollama.chat': (request, notes, headers) => askOllama(request, notes, headers, 'chat'),
  'ollama.generate': (request, notes, headers) => askOllama(request, notes, headers, 'generate'),

  async 'ollama.embed'(request, notes, headers) {
    notes.usage = await ollamaClient(request, notes, headers).embed(request.body);
  },

  async 'anthropic.messages'(request, notes, headers) {
    const client = new Anthropic({
      baseURL: job.base_url, apiKey: 'none', maxRetries: 0, fetch: recordingFetch(notes), defaultHeaders: headers,
    });
    let message;
    if (request.body.stream) {
      const stream = client.messages.stream(request.body);
      stream.on('text', (text) => add(notes, request, text) && stream.abort());
      message = await stream.finalMessage();
      notes.text = '';
    } else {
      message = await client.messages.create(request.body);
    }
    for (const block of message.content) {
      notes.text += block.text ?? '';
      notes.thinking += block.thinking ?? '';
      if (block.input)
        notes.tools.push(block.input);
    }
    notes.usage = message.usage;
  },

  async 'openai.responses'(request, notes, headers) {
    const client = new OpenAI({
      baseURL: `${job.base_url}/v1`, apiKey: 'none', maxRetries: 0, fetch: recordingFetch(notes),
      defaultHeaders: headers,
    });
    const answer = await client.responses.create(request.body);
    if (!request.body.stream) {
      notes.text = answer.output_text;
      notes.usage = answer.usage;
      return;
    }
    for await (const event of answer) {
      if (event.type === 'response.function_call_arguments.done')
        notes.tools.push(JSON.parse(event.arguments));
      if (event.type.startsWith('response.reasoning') && event.type.endsWith('.delta'))
        notes.thinking += event.delta;
      if (event.type === 'response.failed' || event.type === 'error')
        throw new Error((event.response?.error ?? event).message);
      notes.usage = event.response?.usage ?? notes.usage;
      if (event.type === 'response.output_text.delta' && add(notes, request, event.delta)) {
        answer.controller.abort();
        return;
      }
    }
  },

  async 'openai.embeddings'(request, notes, headers) {
    const client = new OpenAI({
      baseURL: `${job.base_url}/v1`, apiKey: 'none', maxRetries: 0, fetch: recordingFetch(notes),
      defaultHeaders: headers,
    });
    notes.usage = (await client.embeddings.create({encoding_format: 'float', ...request.body})).usage;
  },
};

await Promise.all(job.requests.map(async (request) => {
  const notes = {text: '', thinking: '', tools: []};
  try {
    await sdks[request.sdk](request, notes, {'x-request-id': request.id, ...request.headers});
  } catch (error) {
    notes.error = String(error);
  }
  const {pieces = [], ...rest} = notes;
  console.log(JSON.stringify({id: request.id, ...rest, raw: Buffer.concat(pieces).toString('base64')}));
}));
