// One call beside the list: its figures, and the transcript as it comes.

import {ApiError, json} from "./api.js";
import {badge, drawMarks, framesText} from "./cells.js";
import {byId, element, keyed, setAttribute, setHidden, setText} from "./dom.js";
import {caller, clean, duration, latency, median} from "./format.js";
import {activity} from "./lists.js";
import {troubles} from "./model.js";
import {linesOf} from "./transcript.js";

const SHOWN_TURNS = 30;
const SIDE = matchMedia("(min-width: 1180px)"); // room beside the lists; narrower, it covers them

const STEPS = {caller_data: "caller data", agent_url: "agent URL", signed_url: "signed URL", connect: "connect", metadata: "metadata"};

export class CallPanel {
  constructor(model, {hangUp, transfer}) {
    this.model = model;
    this.uuid = null;
    this.dialog = byId("call");
    this.title = element("h2", {id: "call-title"});
    this.state = element("p", {class: "states"});
    this.marks = element("p", {class: "marks"});
    this.facts = element("dl", {class: "facts"});
    this.turns = element("div", {class: "turns", role: "img"});
    this.lines = element("ol", {class: "lines", role: "log", "aria-live": "off", "aria-label": "Transcript", tabindex: "0"});
    this.silence = element("p", {class: "empty"});
    this.transfer = element("button", {type: "button", class: "act transfer", text: "Transfer …", onclick: () => transfer(this.uuid)});
    this.hangUp = element("button", {type: "button", class: "act hangup", text: "Hang up …", onclick: () => hangUp(this.uuid)});
    this.dialog.append(
      element("header", {}, this.title, element("button", {type: "button", class: "quiet close", text: "Close", onclick: () => this.close()})),
      this.state, this.marks,
      element("div", {class: "buttons"}, this.transfer, this.hangUp),
      element("section", {"aria-labelledby": "transcript-title"}, element("h3", {id: "transcript-title", text: "Transcript"}), this.lines, this.silence),
      element("section", {"aria-labelledby": "answers-title"}, element("h3", {id: "answers-title", text: "Answers"}), this.turns),
      element("section", {"aria-labelledby": "facts-title"}, element("h3", {id: "facts-title", text: "The call"}), this.facts),
    );
    this.dialog.addEventListener("keydown", event => {
      if (event.key === "Escape" && !event.defaultPrevented) {
        event.preventDefault();
        this.close();
      }
    });
    this.dialog.addEventListener("close", () => this.closed());
    SIDE.addEventListener("change", () => {
      if (this.dialog.open) {
        this.dialog.close("layout");
        this.show();
      }
    });
  }

  open(record) {
    this.opener = document.activeElement;
    this.uuid = record.uuid;
    this.record = record;
    this.whole = null;
    for (const list of [this.lines, this.turns, this.facts]) {
      list.replaceChildren();
      list.keyed = new Map();
      setHidden(list, true);
    }
    setHidden(this.silence, true);
    if (!this.dialog.open) this.show();
    document.body.classList.add("with-call");
    this.draw();
    this.read();
    this.dialog.querySelector(".close").focus();
  }

  show() {
    if (SIDE.matches) this.dialog.show();
    else this.dialog.showModal();
  }

  close() {
    this.dialog.close();
  }

  closed() {
    if (this.dialog.returnValue === "layout") {
      this.dialog.returnValue = "";
      return;
    }
    this.uuid = null;
    document.body.classList.remove("with-call");
    if (this.opener?.isConnected) this.opener.focus();
  }

  // Read what the lists don't have: the whole record, and the transcript. While the call is up, again and again.
  async read() {
    const {uuid} = this;
    if (this.isReading === uuid) return;
    this.isReading = uuid;
    const path = `calls/${encodeURIComponent(uuid)}`;
    try {
      const [record, transcript] = await Promise.all([json(path), json(`${path}/transcript`, {}, [404])]);
      if (this.uuid !== uuid || record.started_at !== this.record.started_at) return;
      this.whole = record;
      this.drawTranscript(transcript);
      this.drawTurns(record.turns);
      this.drawFacts(record);
    } catch (error) {
      // A lost connection is said elsewhere.
      if (this.uuid === uuid && error instanceof ApiError && !this.whole) {
        setHidden(this.silence, false);
        setText(this.silence, error.message);
      }
    } finally {
      if (this.isReading === uuid) this.isReading = null;
    }
  }

  get isOver() {
    return Boolean(this.whole?.end);
  }

  // After an event of the call, and once a second.
  refresh() {
    if (this.uuid === null) return;
    this.draw();
    if (!this.isOver) this.read();
  }

  draw() {
    if (this.uuid === null) return;
    this.record = this.model.find(this.record);
    const {record} = this;
    setText(this.title, `${caller(record)}${record.dialled_number ? ` to ${clean(record.dialled_number)}` : ""}`);
    if (record.end) badge(this.state, record.is_bad ? "bad" : "ok", `ended: ${record.end.reason}`, clean(record.end.detail));
    else badge(this.state, ...activity(record));
    drawMarks(this.marks, troubles(record), record.is_bad);
    setHidden(this.transfer, Boolean(record.end) || !this.model.load?.destinations?.length);
    setHidden(this.hangUp, Boolean(record.end));
  }

  // Of calls that ended long ago there is none.
  drawTranscript({lines: events, texts: hasTexts, error}) {
    const list = this.lines, lines = linesOf(events ?? []);
    const follows = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    setHidden(list, !lines.length);
    keyed(list, lines, line => line.key, line => lineElement(line), updateLine);
    if (follows) list.scrollTop = list.scrollHeight;
    setHidden(this.silence, hasTexts && lines.length > 0);
    setText(this.silence, error ?? (hasTexts ? "Nothing has been said."
      : "What is said isn't sent to this page: HTTP_TRANSCRIPTS=true sends it, with numbers masked."));
  }

  drawTurns(turns) {
    const shown = turns.slice(-SHOWN_TURNS), all = turns.map(turn => turn.latency_ms);
    const worst = Math.max(2000, ...shown.map(turn => turn.latency_ms));
    keyed(this.turns, shown, turn => turn.at_ms, () => element("i"), (bar, {latency_ms}) => {
      bar.style.height = `${Math.max(4, 100 * latency_ms / worst)}%`;
      setAttribute(bar, "title", latency(latency_ms));
      setAttribute(bar, "data-late", latency_ms >= 3000 || null);
    });
    setHidden(this.turns, !turns.length);
    setAttribute(this.turns, "aria-label", turns.length
      ? `${turns.length} answers: the last after ${latency(all.at(-1))}, median ${latency(median(all))}, worst ${latency(Math.max(...all))}`
      : "no answer yet");
  }

  drawFacts(record) {
    const all = record.turns.map(turn => turn.latency_ms);
    const steps = Object.entries(record.setup_steps).map(([step, ms]) => `${STEPS[step] ?? step} ${latency(ms)}`);
    const silences = record.interruptions.map(one => one.silence_ms).filter(ms => ms != null);
    const facts = [
      [record.end ? "Length" : "Age", duration(record.duration_ms)],
      record.end && ["Ended", `${record.end.reason}: ${clean(record.end.detail)}`],
      ["Answers", all.length ? `last ${latency(all.at(-1))}, median ${latency(median(all))}, worst ${latency(Math.max(...all))}, of ${all.length}` : "none yet"],
      ["First audio", latency(record.first_audio_ms)],
      ["Set-up", record.setup_ms == null ? "not done" : [latency(record.setup_ms), steps.join(", ")].filter(Boolean).join(": ")],
      ["Interruptions", record.interruptions.length ? `${record.interruptions.length}${silences.length ? `, silent after ${latency(median(silences))} (median)` : ""}` : "none"],
      record.holds && ["Held replies", `${record.holds}, ${record.resumed} of them false alarms`],
      record.tools.length && ["Tools", record.tools.map(tool => `${clean(tool.name)} ${tool.outcome}${tool.ms == null ? "" : ` ${latency(tool.ms)}`}`).join(", ")],
      record.transfers.length && ["Transfers", record.transfers.map(one => `${clean(one.name || one.destination)} ${one.outcome ?? "in progress"}${one.detail ? ` (${clean(one.detail)})` : ""}`).join(", ")],
      ["Heard", `${duration(record.heard_ms)} of the agent, ${(record.discarded_ms / 1000).toFixed(1)} s discarded`],
      record.end && ["Frames", framesText(record.frames)],
      ["Agent", clean(record.agent) || "–"],
      ["Conversation", clean(record.conversation_id) || "–"],
      ["PBX", [clean(record.pbx), clean(record.peer)].filter(Boolean).join(", from ")],
      record.channel && ["Channel", clean(record.channel)],
      ["UUID", record.uuid],
    ].filter(Boolean);
    setHidden(this.facts, false);
    keyed(this.facts, facts, ([name]) => name,
      ([name]) => element("div", {}, element("dt", {text: name}), element("dd")),
      (row, [, value]) => setText(row.lastChild, value));
  }
}

function lineElement(line) {
  const minutes = duration(line.at_ms);
  if (line.by === "note") return element("li", {class: "note", "data-bad": line.bad || null}, element("time", {text: minutes}), element("span"));
  return element("li", {class: line.by}, element("time", {text: minutes}), element("b", {text: line.by === "agent" ? "Agent" : "Caller"}), element("span"));
}

function updateLine(item, line) {
  const cut = line.heard !== undefined && line.text.startsWith(line.heard) ? line.heard.length : line.text.length;
  const key = `${cut} ${line.text}`;
  if (item.drawn === key) return;
  item.drawn = key;
  item.lastChild.replaceChildren(line.text.slice(0, cut));
  if (cut < line.text.length) item.lastChild.append(element("del", {title: "not heard", text: line.text.slice(cut)}));
}
