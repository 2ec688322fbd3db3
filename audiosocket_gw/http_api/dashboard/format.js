// Times, latencies and names as people read them.

const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

// Text of others without control characters: one that turns the direction would change what stands beside it.
export const clean = text => String(text ?? "").replace(UNPRINTABLE, " ");

// 0:07, 12:34, 1:02:03
export function duration(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const tail = `${seconds % 3600 < 600 && seconds >= 3600 ? "0" : ""}${Math.floor((seconds % 3600) / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  return seconds >= 3600 ? `${Math.floor(seconds / 3600)}:${tail}` : tail;
}

// 840 ms, 1.24 s, 12.4 s
export function latency(ms) {
  if (ms == null) return "–";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}

export const percent = share => `${share > 0 && share < 0.01 ? "< 1" : Math.round(share * 100)} %`;

export const clock = date => date.toLocaleTimeString(undefined, {hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false});

// Of today the time, of another day also the date.
export function time(date) {
  if (date.toDateString() === new Date().toDateString()) return clock(date);
  return `${date.toLocaleDateString(undefined, {day: "2-digit", month: "short"})} ${clock(date)}`;
}

export function median(values) {
  if (!values.length) return null;
  const sorted = [...values].sort((one, other) => one - other), middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

// A name, unless the gateway has masked all of it.
export const named = text => (/^[*#.]+$/.test(text) ? "" : clean(text));

// The caller in a few words, as the confirmations and announcements name it.
export function caller(call) {
  return clean(call.caller_number) || named(call.caller_name ?? "") || `call ${call.uuid.slice(0, 8)}`;
}
