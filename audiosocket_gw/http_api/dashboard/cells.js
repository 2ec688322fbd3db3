// What both lists show in a cell. A cell's elements are made once, and get other text when that changes.

import {element, setAttribute, setHidden, setText} from "./dom.js";
import {caller, clean, latency, named} from "./format.js";
import {troubles} from "./model.js";

function parts(cell, make) {
  return (cell.parts ??= (() => {
    const made = make();
    cell.append(...Object.values(made));
    return made;
  })());
}

export function twoLines(cell, first, second) {
  const {main, sub} = parts(cell, () => ({
    main: element("span", {class: "main"}), sub: element("span", {class: "sub"}),
  }));
  setText(main, first);
  setText(sub, second);
  setHidden(sub, !second);
}

export function callerCell(cell, record, open) {
  const {name, sub, marks} = parts(cell, () => ({
    name: element("button", {class: "caller", type: "button", onclick: open}),
    sub: element("span", {class: "sub"}),
    marks: element("span", {class: "marks"}),
  }));
  setText(name, clean(record.caller_number) || named(record.caller_name) || "unknown caller");
  setAttribute(name, "aria-label", `Details of ${caller(record)}`);
  const known = [record.caller_number && named(record.caller_name), record.dialled_number && `to ${clean(record.dialled_number)}`];
  setText(sub, known.filter(Boolean).join(" · ") || `call ${record.uuid.slice(0, 8)}`);
  drawMarks(marks, record.end ? [] : troubles(record), record.is_bad);
}

// Trouble is told by a shape and in words; the colour only helps to find it.
export function drawMarks(target, found, bad) {
  const text = JSON.stringify([found, bad]);
  if (target.drawn === text) return;
  target.drawn = text;
  target.replaceChildren(...found.map(text => element(
    "span", {class: "badge", "data-kind": bad ? "bad" : "warn"},
    element("span", {class: "mark", "aria-hidden": "true"}), element("span", {text: clean(text)}),
  )));
}

export function badge(cell, kind, text, hint) {
  const {box} = parts(cell, () => ({
    box: element("span", {class: "badge"}, element("span", {class: "mark", "aria-hidden": "true"}), element("span")),
  }));
  setAttribute(box, "data-kind", kind);
  setText(box.lastChild, text);
  setAttribute(box, "title", hint || null);
}

export function answersCell(cell, record) {
  const {turn_count: count, last_turn_ms: last, median_turn_ms: middle, slowest_turn_ms: slowest} = record;
  if (record.end) twoLines(cell, latency(middle), count ? `slowest ${latency(slowest)} of ${count}` : "");
  else twoLines(cell, latency(last), count > 1 ? `slowest ${latency(slowest)} of ${count}` : "");
}

export function framesText(frames) {
  const told = [[frames.late, "late"], [frames.skipped, "skipped"], [frames.missing, "missing"]];
  return told.filter(([count]) => count).map(([count, word]) => `${count} ${word}`).join(", ") || "regular";
}

export const agentCell = (cell, record) => twoLines(cell, clean(record.agent) || "–", clean(record.pbx || record.peer.replace(/:\d+$/, "")));
