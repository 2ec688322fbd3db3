// The two lists: the live calls, and those that have ended.

import {openCallPage, token} from "./api.js";
import {agentCell, answersCell, badge, callerCell, framesText, twoLines} from "./cells.js";
import {byId, element, setAttribute, setHidden, setText} from "./dom.js";
import {caller, clean, duration, time} from "./format.js";
import {ageOf, hasTrouble, textOf, troubles} from "./model.js";
import {Table} from "./table.js";

// Kind of the mark, and words, for what a call does now.
export function activity(record) {
  if (record.state === "connecting") return ["wait", "connecting"];
  if (record.state === "transferring") {
    const {name, destination} = record.last_transfer ?? {};
    return ["wait", clean(`to ${name || destination || "another"}`)];
  }
  if (record.speaker === "agent") return ["agent", "agent speaks"];
  if (record.speaker === "caller") return ["caller", "caller speaks"];
  if (record.first_audio_ms != null) return ["quiet", "agent listens"];
  return record.silent_ms == null ? ["quiet", "no word yet"] : ["bad", "agent silent"];
}

const endOf = record => startOf(record) + record.duration_ms;
const startOf = record => Date.parse(record.started_at);

export class LiveCalls {
  constructor(model, {open, hangUp, transfer, onSort}) {
    this.model = model;
    const of = call => call.record;
    this.table = new Table(byId("calls"), [
      {id: "caller", title: "Caller", isHeader: true, value: call => clean(of(call).caller_number),
        update: (cell, call) => callerCell(cell, of(call), () => open(cell.parentElement.item.record))},
      {id: "agent", title: "Agent", value: call => clean(of(call).agent), update: (cell, call) => agentCell(cell, of(call))},
      {id: "age", title: "Age", downFirst: true, value: call => -startOf(of(call)), update: (cell, call) => setText(cell, duration(ageOf(call, performance.now())))},
      {id: "state", title: "Now", value: call => activity(of(call))[1], update: (cell, call) => badge(cell, ...activity(of(call)))},
      {id: "answer", title: "Last answer", downFirst: true, value: call => of(call).last_turn_ms, update: (cell, call) => answersCell(cell, of(call))},
      {id: "actions", title: "Actions", unseen: true, update: (cell, call) => this.actions(cell, call, hangUp, transfer)},
    ], {
      keyOf: call => call.record.uuid, sort: {by: "age", down: true}, onSort,
      decorate: (row, call) => setAttribute(row, "data-bad", call.record.is_bad || null),
    });
    this.table.offer(byId("sort"));
  }

  actions(cell, call, hangUp, transfer) {
    if (!cell.firstChild) {
      const uuid = () => cell.parentElement.item.record.uuid;
      cell.append(
        element("button", {type: "button", class: "act transfer", text: "Transfer", onclick: () => transfer(uuid())}),
        element("button", {type: "button", class: "act hangup", text: "Hang up", onclick: () => hangUp(uuid())}),
      );
    }
    const [first, last] = cell.children;
    const name = caller(call.record);
    setAttribute(first, "aria-label", `Transfer ${name}`);
    setAttribute(last, "aria-label", `Hang up ${name}`);
    setHidden(first, !this.model.load?.destinations?.length);
  }

  // Draw those that pass the filter; `changed` null: all anew.
  draw(filter, troubleOnly, changed) {
    const all = [...this.model.calls.values()];
    const found = all.filter(call => (!troubleOnly || hasTrouble(call.record)) && textOf(call.record).includes(filter));
    this.table.draw(found, call => changed === null || changed.has(call.record.uuid));
    const bad = all.filter(call => hasTrouble(call.record)).length;
    setText(byId("live-count"), found.length === all.length ? `${all.length}` : `${found.length} of ${all.length}`);
    setText(byId("trouble-count"), bad ? `${bad}` : "");
    const empty = byId("calls-empty");
    setHidden(empty, found.length > 0);
    setHidden(byId("calls"), !found.length);
    setText(empty, all.length ? "No live call passes the filter." : "No call is up. The next one appears here as soon as Asterisk connects.");
  }

  // Once a second: what only time changes, of the rows that are in view.
  tick() {
    const now = performance.now();
    for (const row of this.table.body.rows) {
      if (row.item) setText(row.cells[2], duration(ageOf(row.item, now)));
    }
  }
}

export class EndedCalls {
  constructor(model, {open, say, onSort}) {
    this.model = model;
    this.say = say;
    this.table = new Table(byId("endings"), [
      {id: "at", title: "Ended", downFirst: true, value: endOf, update: (cell, record) => setText(cell, time(new Date(endOf(record))))},
      {id: "caller", title: "Caller", isHeader: true, value: record => clean(record.caller_number), update: (cell, record) => callerCell(cell, record, () => open(cell.parentElement.item))},
      {id: "agent", title: "Agent", value: record => clean(record.agent), update: (cell, record) => agentCell(cell, record)},
      {id: "age", title: "Length", downFirst: true, value: record => record.duration_ms, update: (cell, record) => setText(cell, duration(record.duration_ms))},
      {id: "reason", title: "Reason", value: record => record.end.reason, update: (cell, record) => this.reason(cell, record)},
      {id: "answer", title: "Answers", downFirst: true, value: record => record.slowest_turn_ms, update: (cell, record) => answersCell(cell, record)},
      {id: "frames", title: "Frames", downFirst: true, value: record => record.frames.late + record.frames.skipped, update: (cell, record) => setText(cell, framesText(record.frames))},
      {id: "page", title: "Call page", unseen: true, update: (cell, record) => this.link(cell, record)},
    ], {
      keyOf: record => `${record.uuid} ${record.started_at}`, sort: {by: "at", down: true}, onSort,
      decorate: (row, record) => setAttribute(row, "data-bad", record.is_bad || null),
    });
  }

  reason(cell, record) {
    if (!cell.firstChild) cell.append(element("div"), element("span", {class: "sub"}));
    badge(cell.firstChild, record.is_bad ? "bad" : "ok", record.end.reason);
    setText(cell.lastChild, [...troubles(record).map(clean), clean(record.end.detail)].filter(Boolean).join(" · "));
    setAttribute(cell.lastChild, "title", clean(record.end.detail));
  }

  link(cell, record) {
    if (!cell.firstChild) {
      cell.append(element("a", {class: "act", target: "_blank", rel: "noopener", text: "Call page", onclick: event => {
        if (token.get() === null) return;
        event.preventDefault();
        openCallPage(cell.parentElement.item.uuid).catch(error => this.say(`No call page: ${error.message}`));
      }}));
    }
    setAttribute(cell.firstChild, "href", `calls/${encodeURIComponent(record.uuid)}/page`);
    setAttribute(cell.firstChild, "aria-label", `Call page of ${caller(record)}`);
  }

  draw(filter, troubleOnly, isComplete) {
    const all = this.model.endings;
    const found = all.filter(record => (!troubleOnly || hasTrouble(record)) && textOf(record).includes(filter));
    this.table.draw(found, () => isComplete);
    const bad = all.filter(record => record.is_bad).length;
    setHidden(byId("bad-endings"), !bad);
    setText(byId("bad-endings").lastElementChild, `${bad} bad`);
    setText(byId("ended-count"), found.length === all.length ? "" : `${found.length} of ${all.length}`);
    const empty = byId("endings-empty");
    setHidden(empty, found.length > 0);
    setHidden(byId("endings"), !found.length);
    setText(empty, all.length ? "No ended call passes the filter." : "No call has ended yet.");
  }
}

