// SPDX-License-Identifier: Apache-2.0
/* A fetch that notes what passes through it: status, headers, pieces of the body. */
export function recordingFetch(notes) {
  return async (url, init) => {
    const answer = await fetch(url, init);
    notes.status = answer.status;
    notes.headers = Object.fromEntries(answer.headers);
    notes.pieces = [];
    const watch = new TransformStream({
      transform(piece, controller) {
        notes.pieces.push(Buffer.from(piece));
        controller.enqueue(piece);
      },
    });
    return new Response(answer.body.pipeThrough(watch), {status: answer.status, headers: answer.headers});
  };
}
