// The dialog that asks before anything is done to a call: it names the call, and says what came of it.

import {ApiError, hangUp, transfer} from "./api.js";
import {byId, element, setHidden, setText} from "./dom.js";
import {caller, clean, duration, named} from "./format.js";
import {ageOf} from "./model.js";

export class Confirm {
  constructor(model, {done}) {
    this.model = model;
    this.done = done;
    this.dialog = byId("confirm");
    this.yes = byId("confirm-yes");
    this.error = byId("confirm-error");
    this.destinations = byId("destinations");
    byId("confirm-no").addEventListener("click", () => this.dialog.close());
    byId("confirm-form").addEventListener("submit", event => {
      event.preventDefault();
      this.act();
    });
    this.dialog.addEventListener("close", () => {
      this.uuid = null;
      if (this.opener?.isConnected) this.opener.focus();
    });
  }

  hangUp(uuid) {
    this.ask(uuid, "Hang up?", "Hang up", []);
  }

  transfer(uuid) {
    this.ask(uuid, "Transfer?", "Transfer", this.model.load?.destinations ?? []);
  }

  ask(uuid, title, verb, destinations) {
    const call = this.model.calls.get(uuid);
    if (!call) return;
    this.opener = document.activeElement;
    this.uuid = uuid;
    this.kind = verb;
    const {record} = call;
    const words = [
      `The call of ${caller(record)}`,
      record.caller_number && named(record.caller_name) ? ` (${named(record.caller_name)})` : "",
      record.dialled_number ? ` to ${clean(record.dialled_number)}` : "",
      `, with agent ${clean(record.agent) || "unknown"}, up for ${duration(ageOf(call, performance.now()))}.`,
      verb === "Hang up" ? " The caller is cut off." : " The agent stops speaking, and the caller is put through.",
    ];
    setText(byId("confirm-title"), title);
    setText(byId("confirm-text"), words.join(""));
    setText(this.yes, verb);
    this.yes.className = verb === "Hang up" ? "danger" : "primary";
    this.yes.disabled = false;
    setHidden(this.error, true);
    setHidden(this.destinations, !destinations.length);
    this.destinations.replaceChildren(this.destinations.firstElementChild, ...destinations.map((name, place) => element(
      "label", {}, element("input", {type: "radio", name: "destination", value: name, required: true, checked: place === 0 && destinations.length === 1}), ` ${clean(name)}`,
    )));
    this.dialog.showModal();
    (destinations.length ? this.destinations.querySelector("input") : byId("confirm-no")).focus();
  }

  // The call may end while the question is open.
  draw() {
    if (this.uuid && !this.model.calls.has(this.uuid)) {
      this.yes.disabled = true;
      this.say("The call has ended.");
    }
  }

  say(message) {
    setText(this.error, message);
    setHidden(this.error, false);
  }

  async act() {
    const {uuid, kind} = this;
    const chosen = this.destinations.querySelector("input:checked")?.value;
    this.yes.disabled = true;
    setHidden(this.error, true);
    const name = caller(this.model.calls.get(uuid)?.record ?? {uuid});
    try {
      if (kind === "Hang up") await hangUp(uuid);
      else await transfer(uuid, chosen);
      if (this.uuid === uuid) this.dialog.close();
      this.done(kind === "Hang up" ? `Hanging up ${name}.` : `Transferring ${name} to ${clean(chosen)}.`);
    } catch (error) {
      if (this.uuid !== uuid) return;
      this.yes.disabled = false;
      this.say(error instanceof ApiError ? error.message : `The gateway can't be reached: ${error.message}`);
    }
  }
}
