// The gateway itself: how full it is, what keeps it from taking more, and what it is connected to.

import {byId, element, keyed, setAttribute, setHidden, setText} from "./dom.js";
import {clean, percent, plural, time} from "./format.js";

const ADVICE = {
  none: "there is room",
  calls: "the calls fill its core: lower MAX_CALLS or add a gateway",
  core: "others keep it from running: free its core, or lower MAX_CALLS",
  lateness: "its clock is late though its core has time: look for tools that block it",
};

// Each: name, value, what is below, share of a bar or null, and the kind of its mark.
function gauges(answer) {
  const {load} = answer;
  const {calls} = answer;
  const setups = [load.setups && `${load.setups} being set up`, load.waiting && `${load.waiting} waiting`].filter(Boolean).join(", ");
  const found = [
    {name: "Calls", value: `${calls}`, unit: `of ${answer.max_calls}`, below: setups || "MAX_CALLS", share: calls / answer.max_calls, kind: calls >= answer.max_calls ? "bad" : calls > 0.8 * answer.max_calls ? "warn" : "ok"},
    {name: "Room", value: `${load.capacity}`, unit: "calls fit", below: ADVICE[load.bottleneck] ?? load.bottleneck, kind: load.admission === "reject" ? "bad" : load.bottleneck === "none" ? "ok" : "warn"},
    {name: "Core", value: percent(load.busy), unit: "busy", below: `${percent(load.stolen)} taken by others`, share: load.busy, kind: load.busy > 0.9 ? "bad" : load.busy > 0.7 || load.stolen > 0.1 ? "warn" : "ok"},
    {name: "Frame timing", value: percent(load.late), unit: "late", below: `over 10 ms; batches of ${load.batch_ms} ms`, kind: load.late > 0.1 ? "bad" : load.late > 0.01 ? "warn" : "ok"},
  ];
  const limit = answer.plan_concurrency;
  if (limit != null) {
    found.push({name: "Plan", value: `${calls}`, unit: `of ${limit} at once`, below: "PLAN_CONCURRENCY; beyond it ElevenLabs queues or refuses", share: calls / limit, kind: calls >= limit ? "bad" : calls > 0.8 * limit ? "warn" : "ok"});
  }
  const ami = answer.ami ?? [];
  const down = ami.filter(({connected}) => !connected);
  found.push(ami.length
    ? {name: "AMI", value: `${ami.length - down.length}`, unit: `of ${plural(ami.length, "PBX", "PBXs")}`, below: down.length ? `no connection to ${down.map(({pbx}) => clean(pbx)).join(", ")}` : `connected: ${ami.map(({pbx}) => clean(pbx)).join(", ")}`, kind: down.length ? "bad" : "ok"}
    : {name: "AMI", value: "off", unit: "", below: "no caller data, no transfers", kind: "off"});
  return found;
}

const KINDS = {bad: "trouble", warn: "attention"};

export function drawGauges(answer) {
  setHidden(byId("off"), !answer.off?.length);
  setText(byId("off"), `Off: ${clean((answer.off ?? []).join(" · "))}`);
  keyed(byId("gauges"), gauges(answer), ({name}) => name, ({name}) => element("div", {class: "gauge card"},
    element("dt", {}, element("span", {class: "mark", "aria-hidden": "true"}), element("span", {text: name}), element("span", {class: "unseen"})),
    element("dd", {}, element("span", {class: "value"}), " ", element("span", {class: "unit"}),
      element("span", {class: "meter", "aria-hidden": "true"}, element("i")), element("span", {class: "sub"})),
  ), (box, {value, unit, below, share, kind}) => {
    const [term, figures] = box.children;
    setAttribute(box, "data-kind", kind);
    setText(term.lastChild, KINDS[kind] ? `: ${KINDS[kind]}` : "");
    const [main, small, meter, sub] = figures.children;
    setText(main, value);
    setText(small, unit);
    setHidden(meter, share == null);
    if (share != null) meter.firstChild.style.width = `${Math.min(100, Math.round(100 * share))}%`;
    setText(sub, below);
    setAttribute(sub, "title", below);
  });
}

const OVER_MS = 60_000; // a fault that was last seen so long ago may be over

// What is wrong now, in the gateway's words. What is new is read aloud, and not every change of a count.
export function drawFaults(faults, now = Date.now()) {
  keyed(byId("wrong-now"), faults, fault => fault.id, () => element("p", {class: "badge", "data-kind": "bad"},
    element("span", {class: "mark", "aria-hidden": "true"}),
    element("span", {}, element("b"), " ", element("span"), " ", element("span", {class: "to-do"})),
  ), (item, {what, why, since, last, to_do}) => {
    const [main, when, advice] = item.lastChild.children;
    const begin = time(new Date(since)), end = new Date(last);
    setText(main, clean(what));
    setText(when, `${now - end < OVER_MS ? `since ${begin}` : `from ${begin} to ${time(end)}`}${why ? `: ${clean(why).replace(/\.$/, "")}` : ""}.`);
    setText(advice, clean(to_do));
  });
}

// The badge at the top: would another call be taken?
export function readiness(answer) {
  if (!answer.ready) return ["bad", `Not ready: ${clean(answer.reasons.join("; ")) || "unknown"}`];
  const down = (answer.ami ?? []).filter(({connected}) => !connected);
  if (down.length) return ["warn", `Ready, without AMI of ${down.map(({pbx}) => clean(pbx)).join(", ")}`];
  return ["ok", "Ready"];
}
