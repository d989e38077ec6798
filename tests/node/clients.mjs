// SPDX-License-Identifier: Apache-2.0
// Clients of an OpenAI-compatible endpoint, as users write them: the OpenAI SDK. What the SDK read from the
// network is kept byte for byte beside what it made of it.
//
//   node clients.mjs <<< '{"base_url": …, "at_once": true,
//                          "requests": [{"id": …, "body": …, "headers": …, "leave_after": N}]}'
//
// One line of JSON for each request: id, text, usage, status, raw (base64), and error if it failed.
// leave_after: abort after so many pieces of text.
import OpenAI from 'openai';
import {recordingFetch} from './recording_fetch.mjs';

let input = '';
for await (const piece of process.stdin.setEncoding('utf8'))
  input += piece;
const job = JSON.parse(input);

async function readStream(stream, request, notes) {
  let n = 0;
  for await (const chunk of stream) {
    if (chunk.usage)
      notes.usage = chunk.usage;
    const text = chunk.choices[0]?.delta?.content;
    if (!text)
      continue;
    notes.text += text;
    if (++n === request.leave_after) {
      stream.controller.abort();
      return;
    }
  }
}

async function ask(request) {
  const notes = {text: ''};
  try {
    const client = new OpenAI({
      baseURL: `${job.base_url}/v1`, apiKey: 'none', maxRetries: 0, fetch: recordingFetch(notes),
    });
    const headers = {'x-request-id': request.id, ...request.headers};
    const answer = await client.chat.completions.create(request.body, {headers});
    if (request.body.stream) {
      await readStream(answer, request, notes);
    } else {
      notes.text = answer.choices[0].message.content;
      notes.usage = answer.usage;
    }
  } catch (error) {
    notes.error = String(error);
  }
  const {pieces = [], ...rest} = notes;
  console.log(JSON.stringify({id: request.id, ...rest, raw: Buffer.concat(pieces).toString('base64')}));
}

if (job.at_once) {
  await Promise.all(job.requests.map(ask));
} else {
  for (const request of job.requests)
    await ask(request);
}
