// A table whose rows stay with their items: they are changed in place, and moved only when the order changes.

import {element, keyed, setAttribute} from "./dom.js";

// Columns: {id, title, value(item) to sort by, update(cell, item)}; without value it can't be sorted by.
export class Table {
  constructor(table, columns, {keyOf, sort, onSort = () => {}, decorate = () => {}}) {
    this.body = table.tBodies[0];
    this.columns = columns;
    this.keyOf = keyOf;
    this.decorate = decorate;
    this.sort = sort;
    this.headers = new Map();
    for (const column of columns) {
      const header = element("th", {role: "columnheader", scope: "col", class: `c-${column.id}`});
      if (column.value) {
        header.append(element("button", {type: "button", text: column.title, onclick: () => {
          const isSame = this.sort.by === column.id;
          this.sortBy(column.id, isSame ? !this.sort.down : Boolean(column.downFirst));
          onSort();
        }}));
      } else {
        header.append(element("span", {class: column.unseen ? "unseen" : "", text: column.title}));
      }
      this.headers.set(column.id, header);
      table.tHead.rows[0].append(header);
    }
    this.onSort = onSort;
    this.sortBy(sort.by, sort.down);
  }

  // Let a select choose what to sort by, where there is no room for the headers.
  offer(select) {
    for (const {id, title, value} of this.columns) {
      if (value) select.append(element("option", {value: id, text: title.toLowerCase(), selected: id === this.sort.by}));
    }
    this.select = select;
    select.addEventListener("change", () => {
      const column = this.columns.find(({id}) => id === select.value);
      this.sortBy(column.id, Boolean(column.downFirst));
      this.onSort();
    });
  }

  sortBy(by, down) {
    this.sort = {by, down};
    for (const [id, header] of this.headers) {
      setAttribute(header, "aria-sort", id === by ? (down ? "descending" : "ascending") : null);
    }
    if (this.select) this.select.value = by;
  }

  // Draw the items, in order; of those with a row only the changed ones.
  draw(items, hasChanged) {
    const column = this.columns.find(other => other.id === this.sort.by);
    const sign = this.sort.down ? -1 : 1;
    const sorted = items.map(item => ({item, value: column.value(item)}));
    sorted.sort((one, other) => sign * compare(one.value, other.value) || compare(this.keyOf(one.item), this.keyOf(other.item)));
    keyed(this.body, sorted.map(({item}) => item), this.keyOf, () => this.row(), (row, item) => {
      if (row.item === undefined || hasChanged(item)) this.update(row, item);
      row.item = item;
    });
  }

  row() {
    return element("tr", {role: "row"}, ...this.columns.map(column => element(
      column.isHeader ? "th" : "td",
      {role: column.isHeader ? "rowheader" : "cell", scope: column.isHeader ? "row" : null,
        class: `c-${column.id}`, "data-title": column.unseen ? null : column.title},
    )));
  }

  update(row, item) {
    this.decorate(row, item);
    this.columns.forEach((column, place) => column.update(row.cells[place], item));
  }
}

function compare(one, other) {
  if (one == null || other == null) return (one == null) - (other == null);
  return typeof one === "string" ? one.localeCompare(other) : one - other;
}
