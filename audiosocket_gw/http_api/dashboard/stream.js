// Server-sent events by fetch, since EventSource can't send the token.

import {failure, request} from "./api.js";

const SILENCE_MS = 45_000; // the gateway sends a comment every 15 s
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;

// Parse the WHATWG event stream: feed() takes text as it comes, and calls back for every complete event.
export class Parser {
  constructor(onEvent) {
    this.onEvent = onEvent;
    this.rest = "";
    this.start();
  }

  start() {
    this.event = "message";
    this.id = null;
    this.data = [];
  }

  feed(text) {
    const lines = (this.rest + text).split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop();
    for (const line of lines) this.line(line);
  }

  line(line) {
    if (line === "") {
      if (this.data.length) this.onEvent({id: this.id, event: this.event, data: this.data.join("\n")});
      this.start();
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.data.push(value);
    else if (field === "event") this.event = value;
    else if (field === "id") this.id = value;
  }
}

// Read a stream once, to its end. `onOpen` is called when the gateway follows the calls: what it has sent by then
// comes afterwards; if it fails, so does the reading. `onEvent` gets the data, and whether events before it are missing.
// Throws what fetch throws, and an ApiError for an answer that isn't 200.
export async function read(path, signal, onOpen, onEvent) {
  const stop = new AbortController();
  const response = await request(path, {
    signal: AbortSignal.any([signal, stop.signal]), headers: {Accept: "text/event-stream"},
  });
  if (!response.ok) throw await failure(response);
  let alarm, last = 0, opened = null;
  const parser = new Parser(({id, data}) => {
    const number = Number(id), isComplete = number === last + 1;
    last = number;
    onEvent(JSON.parse(data), isComplete);
  });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      clearTimeout(alarm);
      alarm = setTimeout(() => stop.abort(new Error("it sends nothing")), SILENCE_MS);
      const {done, value} = await reader.read();
      if (done) return;
      opened ??= onOpen().catch(error => stop.abort(error));
      parser.feed(value);
    }
  } finally {
    clearTimeout(alarm);
    reader.cancel().catch(() => {});
  }
}

// Pauses between attempts: twice as long each time, and a random part, so that pages don't come back together.
export class BackOff {
  constructor() {
    this.reset();
  }

  reset() {
    this.pause = FIRST_PAUSE_MS;
  }

  next() {
    const pause = this.pause * (0.75 + Math.random() / 2);
    this.pause = Math.min(LONGEST_PAUSE_MS, this.pause * 2);
    return pause;
  }
}
