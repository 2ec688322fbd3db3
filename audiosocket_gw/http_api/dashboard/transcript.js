// A transcript as lines, from the events of a call that the gateway has kept.

import {clean} from "./format.js";

export function linesOf(events) {
  const lines = [], times = new Map();
  for (const event of events) {
    const line = lineOf(event);
    if (event.type === "reply_heard") markUnheard(lines, event);
    else if (line && event.corrected) correct(lines, line);
    else if (line) {
      const same = (times.get(event.at_ms) ?? 0) + 1;
      times.set(event.at_ms, same);
      lines.push({...line, at_ms: event.at_ms, key: `${event.at_ms} ${same}`});
    }
  }
  return lines;
}

// The agent's text, cut to what was spoken, replaces the one before it.
function correct(lines, line) {
  const last = lines.findLast(({by}) => by === "agent");
  if (last) Object.assign(last, line);
}

function markUnheard(lines, {heard, interrupted}) {
  if (!interrupted || heard === undefined) return;
  const beginning = clean(heard);
  const said = lines.findLast(line => line.by === "agent" && line.heard === undefined && line.text.startsWith(beginning));
  if (said) said.heard = beginning;
}

const seconds = (ms, digits = 0) => `${(ms / 1000).toFixed(digits)} s`;

function lineOf(event) {
  const {name, destination, outcome} = event;
  switch (event.type) {
    case "caller_said": return event.text === undefined ? null : {by: "caller", text: clean(event.text)};
    case "agent_said": return event.text === undefined ? null : {by: "agent", text: clean(event.text)};
    case "interrupted": return {by: "note", text: `The caller interrupted; ${seconds(event.discarded_ms, 1)} discarded.`};
    case "digit_pressed": return {by: "note", text: "The caller pressed a key."};
    case "tool_called": return {by: "note", text: `The agent calls the tool ${clean(name)}.`};
    case "tool_answered": return {by: "note", bad: event.is_error, text: `The tool ${clean(name)} ${event.is_error ? "failed" : "answered"}.`};
    case "transfer_requested": return {by: "note", text: `Transfer to ${clean(destination)} …`};
    case "transfer_decided": return {by: "note", bad: outcome === "failed" || outcome === "refused", text: `Transfer to ${clean(destination)}: ${clean(outcome)}.`};
    case "agent_silent": return {by: "note", bad: true, text: `Nothing heard of the agent for ${seconds(event.waited_ms)}.`};
    case "answer_late": return {by: "note", bad: true, text: `No answer for ${seconds(event.waited_ms)}.`};
    case "caller_undecodable": return {by: "note", bad: true, text: `The caller's audio can't be decoded${event.codec ? ` (${clean(event.codec)})` : ""}: the agent gets silence.`};
    default: return null;
  }
}
