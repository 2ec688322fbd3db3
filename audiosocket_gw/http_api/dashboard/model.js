// What the page knows: the gateway's summaries of calls ("records" here), as lists and events bring them.

import {clean} from "./format.js";

const MAX_ENDINGS = 200;

export class Model {
  calls = new Map(); // uuid -> {record, receivedAt}
  endings = []; // records, the latest first
  load = null;
  connection = {state: "connecting"}; // or "open", "lost", "token"
  asOf = null; // when the last word of the gateway came
  changed = new Set(); // uuids of calls that look otherwise than they are drawn

  // All calls, as the gateway lists them: what isn't among them has ended unseen.
  replaceCalls(records, now) {
    const before = this.calls;
    this.calls = new Map(records.map(record => [record.uuid, {record, receivedAt: now}]));
    for (const uuid of before.keys()) this.changed.add(uuid);
    for (const uuid of this.calls.keys()) this.changed.add(uuid);
  }

  replaceEndings(records) {
    this.endings = records.slice(0, MAX_ENDINGS).map(summaryOf);
  }

  // The record of the same call as it is known now.
  find(record) {
    const live = this.calls.get(record.uuid)?.record;
    return [live, ...this.endings].find(other => other && isSame(other, record)) ?? record;
  }

  // Enter what happened in a call; return its record if that was its end.
  // Throws an UnknownCall if the call isn't known.
  apply(event, now) {
    const known = this.calls.get(event.uuid);
    if (event.call?.end) {
      this.changed.add(event.uuid);
      if (known?.record.started_at === event.call.started_at) this.calls.delete(event.uuid);
      this.endings = [event.call, ...this.endings.filter(ended => !isSame(ended, event.call))].slice(0, MAX_ENDINGS);
      return event.call;
    }
    if (!known && !event.call) throw new UnknownCall(event.uuid);
    this.changed.add(event.uuid);
    const call = event.call ? {record: event.call, receivedAt: now}
      : {record: reduce(known.record, event), receivedAt: known.receivedAt};
    this.calls.set(event.uuid, call);
    return null;
  }
}

// The summary of a whole record, as the gateway makes it (http_api/call_summary.py): the history has whole records.
function summaryOf({turns, interruptions, tools, transfers, setup_steps, ...record}) {
  const latencies = turns.map(turn => turn.latency_ms).sort((one, other) => one - other);
  return {
    ...record,
    turn_count: turns.length,
    last_turn_ms: turns.at(-1)?.latency_ms ?? null,
    median_turn_ms: latencies[latencies.length >> 1] ?? null,
    slowest_turn_ms: latencies.at(-1) ?? null,
    interruption_count: interruptions.length,
    tool_count: tools.length,
    tool_error_count: tools.filter(tool => tool.outcome === "error").length,
    transfer_count: transfers.length,
    last_transfer: transfers.at(-1) ?? null,
  };
}

export class UnknownCall extends Error {}

// The summary of a call after an event that comes without one.
function reduce(record, event) {
  const after = {...record, state: event.state, speaker: event.speaker};
  if (event.trouble) Object.assign(after, {trouble: event.trouble, is_bad: event.is_bad});
  switch (event.type) {
    case "reply_started":
      after.first_audio_ms ??= event.at_ms;
      break;
    case "turn_taken":
      after.turn_count = event.turn_count;
      after.last_turn_ms = event.latency_ms;
      after.slowest_turn_ms = Math.max(record.slowest_turn_ms ?? 0, event.latency_ms);
      break;
    case "agent_silent":
      after.silent_ms = event.waited_ms;
      break;
    case "transfer_requested":
    case "transfer_decided":
      after.last_transfer = {destination: event.destination, name: "", outcome: event.outcome ?? null, detail: ""};
      break;
  }
  return after;
}

// A caller that is put through and comes back has the same UUID in its second call.
const isSame = (one, other) => one.uuid === other.uuid && one.started_at === other.started_at;

export const ageOf = (call, now) => (call.record.duration_ms ?? 0) + (now - call.receivedAt);

// What is wrong with a call, in the gateway's words; but for a bad end, which has its own place. Records of an earlier
// version have none.
export const troubles = record => (record.trouble ?? []).filter(text => text !== record.end?.reason);

export const hasTrouble = record => record.is_bad || troubles(record).length > 0;

// What the filter looks at.
export function textOf(record) {
  return clean([record.caller_number, record.caller_name, record.dialled_number, record.agent, record.pbx, record.peer,
    record.uuid, record.conversation_id, record.state, record.end?.reason ?? "", ...troubles(record)].join(" ")).toLowerCase();
}
