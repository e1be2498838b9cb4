// Which of the two is seen, list or photograph: the address says so, and keys change it.
"use strict";

let left = 0; // where the list was left

function start() {
  list.start();
  view.start();
  addEventListener("hashchange", go);
  addEventListener("keydown", press);
  go();
}

function go() {
  const card = intgrad.cards[/^#image-(\d+)$/.exec(location.hash)?.[1]];
  const wasList = byId("view").hidden;
  if (card && wasList) left = scrollY;
  byId("list").hidden = Boolean(card);
  byId("view").hidden = !card;
  if (card) {
    if (wasList) scrollTo(0, 0);
    view.show(card, wasList);
  } else if (!wasList) {
    list.fill();
    scrollTo(0, left);
    list.fill();
    const seen = byId("grid").querySelector(`li[data-number="${view.card.number}"] a`);
    (seen ?? byId("list")).focus({ preventScroll: true });
  }
}

function press(event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const typing = event.target.matches?.("input, select, textarea");
  if (!byId("view").hidden) {
    if (event.key === "Escape") location.hash = "#list";
    else if (typing) return;
    else if (event.key === "ArrowRight") view.step(1);
    else if (event.key === "ArrowLeft") view.step(-1);
    else return;
    event.preventDefault();
  } else if (event.key === "/" && !typing) {
    byId("search").focus();
    event.preventDefault();
  }
}
