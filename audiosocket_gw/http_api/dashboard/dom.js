// Building and changing elements. Text goes in as text only: what callers and agents say is never markup.

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "text") made.textContent = value;
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

export const byId = id => document.getElementById(id);

// Writing what is there already would still cost a layout, and lose the reader's selection.

export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

export function setAttribute(target, name, value) {
  if (value == null || value === false) {
    if (target.hasAttribute(name)) target.removeAttribute(name);
  } else if (target.getAttribute(name) !== String(value)) {
    target.setAttribute(name, value);
  }
}

export function setHidden(target, hidden) {
  if (target.hidden !== hidden) target.hidden = hidden;
}

// Keep the children of `parent` those of the items, in their order; an element stays with its key.
export function keyed(parent, items, keyOf, make, update) {
  const known = (parent.keyed ??= new Map());
  const wanted = new Set();
  let next = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    wanted.add(key);
    let child = known.get(key);
    if (!child) {
      child = make(item);
      known.set(key, child);
    }
    update(child, item);
    if (child === next) next = next.nextElementSibling;
    else if (!moves(parent, child, next)) next = child.nextElementSibling;
  }
  for (const [key, child] of known) {
    if (!wanted.has(key)) {
      known.delete(key);
      child.remove();
    }
  }
}

function moves(parent, child, next) {
  // An element that is moved loses the focus, and gets it back.
  const focused = child.contains(document.activeElement) ? document.activeElement : null;
  parent.insertBefore(child, next);
  focused?.focus({preventScroll: true});
  return true;
}
