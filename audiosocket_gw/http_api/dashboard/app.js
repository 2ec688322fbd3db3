// Starts the page: reads what the gateway tells, and draws it a few times a second at most.

import {ApiError, json, token} from "./api.js";
import {CallPanel} from "./call.js";
import {Confirm} from "./confirm.js";
import {byId, setAttribute, setHidden, setText} from "./dom.js";
import {caller, clean, clock, plural} from "./format.js";
import {drawFaults, drawGauges, readiness} from "./gauges.js";
import {EndedCalls, LiveCalls} from "./lists.js";
import {Model, UnknownCall} from "./model.js";
import {BackOff, read} from "./stream.js";

const DRAW_MS = 200; // between two drawings; a reader sees no difference, a telephone's battery does
const LOAD_MS = 2_000;
const ANNOUNCE_MS = 3_000;
const TOAST_MS = 6_000;
const HISTORY = 100;

const model = new Model();
const backOff = new BackOff();
const filter = byId("filter"), troubleOnly = byId("only-trouble");
let announced = [];

const confirm = new Confirm(model, {done: say});
const actions = {hangUp: uuid => confirm.hangUp(uuid), transfer: uuid => confirm.transfer(uuid), open: record => panel.open(record), say, onSort: () => redraw()};
const live = new LiveCalls(model, actions);
const ended = new EndedCalls(model, actions);
const panel = new CallPanel(model, actions);

// Drawing

let scheduled = false, drawsAll = true;

function schedule() {
  if (scheduled) return;
  scheduled = true;
  setTimeout(() => requestAnimationFrame(draw), DRAW_MS);
}

function redraw() {
  drawsAll = true;
  schedule();
}

function draw() {
  scheduled = false;
  const words = filter.value.trim().toLowerCase();
  live.draw(words, troubleOnly.checked, drawsAll ? null : model.changed);
  ended.draw(words, troubleOnly.checked, drawsAll);
  if (drawsAll || model.changed.has(panel.uuid)) panel.refresh();
  confirm.draw();
  model.changed.clear();
  drawsAll = false;
  drawConnection();
}

function drawConnection() {
  const {state, message, retryAt} = model.connection;
  setAttribute(document.body, "data-view", state === "token" ? "token" : model.asOf ? "calls" : "loading");
  setAttribute(document.body, "data-stale", (state === "lost" && Boolean(model.asOf)) || null);
  const badge = byId("readiness");
  const [kind, words] = state === "open" && model.load ? readiness(model.load)
    : state === "lost" ? ["bad", "Disconnected"] : ["unknown", state === "token" ? "Token needed" : "Connecting"];
  setAttribute(badge, "data-kind", kind);
  setText(badge.lastElementChild, words);
  setText(byId("version"), clean(model.load?.version));
  setHidden(byId("forget"), !token.get());
  setHidden(byId("banner"), state !== "lost");
  if (state === "lost") {
    const wait = Math.max(0, Math.ceil((retryAt - performance.now()) / 1000));
    const since = model.asOf ? ` What you see is as of ${clock(model.asOf)}.` : "";
    setText(byId("banner"), `No connection to the gateway: ${message}.${since} Trying again${wait ? ` in ${wait} s` : " now"} …`);
  }
  setText(byId("freshness"), state === "open" && model.asOf ? clock(model.asOf) : "");
  const calls = model.calls.size;
  document.title = state === "lost" ? "Disconnected · audiosocket-gw" : `${model.asOf ? `(${calls}) ` : ""}Calls · audiosocket-gw`;
}

// Say what came of something that was asked for: seen for a while, and announced.
let toastTimer;

function say(text) {
  announce(text);
  setText(byId("toast"), text);
  setHidden(byId("toast"), false);
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => setHidden(byId("toast"), true), TOAST_MS);
}

// A screen reader is told of endings and of what was asked for, some at a time; never of every change.
function announce(text) {
  announced.push(text);
}

function announceEnd(record) {
  announce(`${caller(record)} ended: ${record.end.reason}${record.is_bad ? ", look at it" : ""}.`);
}

setInterval(() => {
  if (!announced.length) return;
  const text = announced.length > 3 ? `${plural(announced.length, "call")} ended.` : announced.join(" ");
  announced = [];
  setText(byId("announcements"), text);
}, ANNOUNCE_MS);

setInterval(() => {
  if (document.hidden) return;
  if (model.connection.state === "open") {
    live.tick();
    panel.refresh();
  }
  drawConnection();
}, 1_000);

// Reading

async function readLoad(signal) {
  while (!signal.aborted) {
    if (!document.hidden || !model.load) {
      model.load = await json("load", {signal: AbortSignal.any([signal, AbortSignal.timeout(15_000)])});
      model.asOf = new Date();
      drawGauges(model.load);
      drawFaults(model.load.wrong_now ?? []);
      schedule();
    }
    await pause(LOAD_MS, signal);
  }
}

async function synchronise() {
  const [calls, history] = await Promise.all([json("calls"), json(`history?limit=${HISTORY}`, {}, [404])]);
  model.replaceCalls(calls.calls, performance.now());
  if (history.calls) model.replaceEndings(history.calls);
  model.asOf = new Date();
  redraw();
}

async function followEvents(signal) {
  let early = []; // what happens while the lists are read
  const take = event => {
    try {
      const over = model.apply(event, performance.now());
      if (over) announceEnd(over);
    } catch (error) {
      if (!(error instanceof UnknownCall)) throw error;
      catchUp();
    }
    schedule();
  };
  await read("events", signal, async () => {
    await synchronise();
    model.connection = {state: "open"};
    backOff.reset();
    early.forEach(take);
    early = null;
  }, (event, isComplete) => {
    if (early) early.push(event);
    else take(event);
    if (!isComplete) catchUp();
  });
}

// Read the lists again, once for all that is missing now.
let catching = null;

function catchUp() {
  catching ??= pause(500).then(synchronise).catch(() => {}).finally(() => { catching = null; });
}

const pause = (ms, signal) => new Promise(resolve => {
  const timer = setTimeout(resolve, ms);
  signal?.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, {once: true});
});

let attempt = new AbortController();

async function run() {
  for (;;) {
    attempt = new AbortController();
    const {signal} = attempt;
    try {
      await Promise.race([followEvents(signal), readLoad(signal)]);
      throw new Error("it ended the connection");
    } catch (error) {
      attempt.abort();
      if (error instanceof ApiError && error.status === 401) await askForToken(error.message);
      else await wait(error);
    }
  }
}

// fetch has one TypeError for all that keeps it from an answer.
const reason = error => (error instanceof TypeError ? "it can't be reached" : error.message.replace(/\.$/, ""));

async function wait(error) {
  const ms = backOff.next();
  model.connection = {state: "lost", message: reason(error), retryAt: performance.now() + ms};
  redraw();
  const again = new AbortController();
  const wake = () => again.abort();
  addEventListener("online", wake, {once: true});
  await pause(ms, again.signal);
  removeEventListener("online", wake);
}

// The token

async function askForToken(message) {
  const hadOne = token.get() !== null;
  token.forget();
  model.connection = {state: "token"};
  setHidden(byId("token-error"), !hadOne);
  setText(byId("token-error"), hadOne ? message : "");
  redraw();
  await new Promise(resolve => requestAnimationFrame(resolve));
  drawConnection();
  byId("token").focus();
  await new Promise(resolve => {
    byId("token-form").addEventListener("submit", event => {
      event.preventDefault();
      token.set(byId("token").value.trim());
      byId("token").value = "";
      model.connection = {state: "connecting"};
      redraw();
      resolve();
    }, {once: true});
  });
}

byId("token-form").addEventListener("submit", event => event.preventDefault());
byId("forget").addEventListener("click", () => {
  token.forget();
  location.reload();
});
filter.addEventListener("input", redraw);
troubleOnly.addEventListener("change", redraw);
document.addEventListener("keydown", event => {
  if (event.key === "/" && !event.ctrlKey && !event.metaKey && !/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) && !document.querySelector("dialog:modal")) {
    event.preventDefault();
    filter.focus();
  }
});
document.addEventListener("visibilitychange", () => document.hidden || redraw());
run();
