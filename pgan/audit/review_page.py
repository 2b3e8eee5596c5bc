"""The page on which a reader marks synthetic images: one HTML file without anything external.

It reads `images.js` beside it, keeps marks in the browser's local storage under a key of the audit,
and writes and reads them as CSV. Every mark has a key of the keyboard.
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Review of synthetic radiographs</title>
<style>
:root { color-scheme: dark; --line: #444; --text: #e6e6e6; --dim: #a8a8a8; --on: #e69f00; }
* { box-sizing: border-box; }
body { margin: 0; background: #111; color: var(--text);
  font: 15px/1.4 system-ui, "Liberation Sans", sans-serif; }
header { position: sticky; top: 0; z-index: 2; background: #1b1b1b;
  border-bottom: 1px solid var(--line); padding: .5rem 1rem; }
header .row { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; }
h1 { font-size: 1.05rem; margin: 0; }
button, select, input { font: inherit; color: inherit; background: #2a2a2a;
  border: 1px solid #666; border-radius: 4px; padding: .25rem .6rem; }
button { cursor: pointer; }
button:disabled { opacity: .4; cursor: default; }
button[aria-pressed=true] { background: var(--on); border-color: var(--on); color: #000;
  font-weight: 600; }
:focus-visible { outline: 3px solid #56b4e9; outline-offset: 1px; }
progress { width: 10rem; }
main { padding: 1rem; max-width: 1800px; margin: 0 auto; }
article { border: 1px solid var(--line); border-radius: 6px; padding: .7rem; margin-bottom: 1rem; }
article.current { border-color: #56b4e9; box-shadow: 0 0 0 1px #56b4e9; }
article h2 { font-size: 1rem; margin: 0 0 .4rem; }
article h2 .flag { color: #000; background: var(--on); border-radius: 3px; padding: 0 .4rem; }
.strip { margin: 0 0 .6rem; }
.strip .captions { display: grid; font-size: .8rem; color: var(--dim); }
.strip .captions span { padding: 0 .15rem; overflow-wrap: anywhere; }
.strip img { display: block; width: 100%; background: #000; }
.strip img.coarse { image-rendering: pixelated; }
.marks { display: flex; flex-wrap: wrap; gap: .4rem; align-items: center; }
.marks input { flex: 1 1 14rem; }
.warning { background: #5a1a00; padding: .5rem 1rem; }
.dim { color: var(--dim); }
kbd { border: 1px solid #777; border-radius: 3px; padding: 0 .3rem; font-size: .85em; }
[hidden] { display: none !important; }
</style>
</head>
<body>
<header>
  <div class="row">
    <h1 id="title"></h1>
    <label>Reader <input id="reader" size="10" autocomplete="off"></label>
    <label>Order <select id="order">
      <option value="suspicion">nearest to a training image first</option>
      <option value="number">by number</option></select></label>
    <label>Show <select id="filter">
      <option value="all">all</option><option value="open">not marked yet</option>
      <option value="marked">marked other than none</option>
      <option value="suspected">suspected copies</option></select></label>
    <span><button id="previous">Previous page</button>
      <span id="page"></span> <button id="next">Next page</button></span>
    <span><progress id="done" value="0" max="1"></progress> <span id="count"></span></span>
    <button id="export">Export marks (CSV)</button>
    <label>Import <input id="import" type="file" accept=".csv,text/csv"></label>
    <button id="help" aria-expanded="false">Keys</button>
  </div>
  <div id="keys" hidden><p><kbd>J</kbd> or <kbd>&darr;</kbd> next image, <kbd>K</kbd> or
    <kbd>&uarr;</kbd> the one before, <kbd>N</kbd> and <kbd>P</kbd> pages, <kbd>1</kbd> copy,
    <kbd>2</kbd> writing, <kbd>3</kbd> jewellery, <kbd>4</kbd> unique anatomy, <kbd>0</kbd> none,
    <kbd>T</kbd> note (<kbd>Esc</kbd> leaves it), <kbd>E</kbd> export. A click on a strip opens it
    in its full size. In difference images grey is equal, bright is where the synthetic image is
    brighter.</p>
    <p>Copy: this is that patient. Writing: letters or numbers that can be read. Jewellery: a
    necklace, ring or piercing. Unique anatomy: something by which a person could be recognised,
    such as an implant, an old fracture or a variant. Images of patients are on this page: it must
    not leave the hospital.</p></div>
</header>
<noscript><p class="warning">This page needs JavaScript.</p></noscript>
<p id="warning" class="warning" hidden></p>
<main id="main"></main>
<script src="images.js"></script>
<script>
"use strict";
const MARKS = [["copy", "1", "Copy"], ["writing", "2", "Writing"],
  ["jewellery", "3", "Jewellery"], ["unique_anatomy", "4", "Unique anatomy"],
  ["none", "0", "None"]];
const PER_PAGE = 10;
const $ = id => document.getElementById(id);
const KEY = "pgan-review-" + AUDIT.id;
let state = {reader: "", marks: {}};
let page = 0, current = 0, shown = [];

function warn(text) { $("warning").textContent = text; $("warning").hidden = false; }
function load() {
  try { state = JSON.parse(localStorage.getItem(KEY)) || state; }
  catch (error) { warn("This browser keeps no marks of this page. Export them before you leave."); }
}
function save() {
  try { localStorage.setItem(KEY, JSON.stringify(state)); }
  catch (error) { warn("This browser keeps no marks of this page. Export them before you leave."); }
}
function marksOf(image) { return state.marks[image.number] || {}; }
function isMarked(image) { return MARKS.some(([name]) => marksOf(image)[name]); }
function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== null) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
function choose() {
  const wanted = $("filter").value;
  shown = AUDIT.images.filter(image => wanted === "all" ||
    (wanted === "open" && !isMarked(image)) ||
    (wanted === "marked" && isMarked(image) && !marksOf(image).none) ||
    (wanted === "suspected" && image.suspected));
  if ($("order").value === "suspicion") shown.sort((a, b) => a.rank - b.rank);
  else shown.sort((a, b) => a.number - b.number);
}
function strip(image, part) {
  const columns = 1 + 2 * part.neighbours.length;
  const most = Math.max(...image.strips.map(other => 1 + 2 * other.neighbours.length));
  const figure = element("figure", null,
    {class: "strip", style: `width: ${100 * columns / most}%`});
  const captions = element("div", null,
    {class: "captions", style: `grid-template-columns: repeat(${columns}, 1fr)`});
  captions.append(element("span", "synthetic " + image.number));
  part.neighbours.forEach((found, i) => captions.append(element("span",
    `${i + 1} ${part.space}: ${found.value.toFixed(3)} (${found.record})`)));
  part.neighbours.forEach((found, i) => captions.append(element("span", `difference ${i + 1}`)));
  const link = element("a", null, {href: part.file, target: "_blank", tabindex: "-1"});
  const picture = element("img", null, {src: part.file, loading: "lazy",
    alt: `synthetic image ${image.number}, ${part.neighbours.length} nearest training images ` +
      `by ${part.space}, differences`});
  if (AUDIT.pixels < 128) picture.className = "coarse";
  link.append(picture);
  figure.append(captions, link);
  return figure;
}
function draw() {
  const pages = Math.max(1, Math.ceil(shown.length / PER_PAGE));
  page = Math.min(Math.max(page, 0), pages - 1);
  const part = shown.slice(page * PER_PAGE, (page + 1) * PER_PAGE);
  $("main").replaceChildren(...part.map(card));
  if (!part.length) $("main").append(element("p", "No image is like that."));
  $("page").textContent = `page ${page + 1} of ${pages}`;
  $("previous").disabled = page === 0;
  $("next").disabled = page === pages - 1;
  current = Math.min(current, Math.max(part.length - 1, 0));
  refresh();
}
function card(image, place) {
  const box = element("article", null, {"data-number": image.number, tabindex: "-1"});
  const heading = element("h2", `Image ${image.number} `);
  if (image.suspected) heading.append(element("span", "suspected copy", {class: "flag"}));
  heading.append(element("span", `  similarity after alignment ${image.similarity.toFixed(3)} to ` +
    image.record, {class: "dim"}));
  box.append(heading, ...image.strips.map(part => strip(image, part)));
  const marks = element("div", null, {class: "marks", role: "group",
    "aria-label": `Marks of image ${image.number}`});
  for (const [name, key, text] of MARKS) {
    const button = element("button", `${text} `, {"data-mark": name});
    button.append(element("kbd", key));
    button.addEventListener("click", () => { current = place; toggle(image, name); });
    marks.append(button);
  }
  const note = element("input", null, {placeholder: "Note", autocomplete: "off",
    "aria-label": `Note on image ${image.number}`});
  note.value = marksOf(image).note || "";
  note.addEventListener("input", () => {
    const time = new Date().toISOString();
    state.marks[image.number] = {...marksOf(image), note: note.value, time};
    save();
  });
  note.addEventListener("focus", () => { current = place; refresh(); });
  marks.append(note);
  box.append(marks);
  return box;
}
function toggle(image, name) {
  const mark = {...marksOf(image)};
  mark[name] = !mark[name];
  if (name === "none" && mark.none) for (const [other] of MARKS) mark[other] = other === "none";
  if (name !== "none" && mark[name]) mark.none = false;
  mark.time = new Date().toISOString();
  state.marks[image.number] = mark;
  save();
  refresh();
}
function refresh() {
  document.querySelectorAll("article").forEach((box, place) => {
    box.classList.toggle("current", place === current);
    const mark = state.marks[box.dataset.number] || {};
    box.querySelectorAll("button").forEach(button =>
      button.setAttribute("aria-pressed", String(Boolean(mark[button.dataset.mark]))));
  });
  const done = AUDIT.images.filter(isMarked).length;
  $("done").max = AUDIT.images.length;
  $("done").value = done;
  $("count").textContent = `${done} of ${AUDIT.images.length} marked`;
}
function turn(by) { page += by; current = 0; draw(); window.scrollTo(0, 0); }
function move(by) {
  const boxes = document.querySelectorAll("article");
  if (current + by >= boxes.length) { if (!$("next").disabled) turn(1); return; }
  if (current + by < 0) { if (!$("previous").disabled) turn(-1); return; }
  current += by;
  refresh();
  boxes[current].scrollIntoView({block: "start", behavior: "smooth"});
}
function quote(text) { return '"' + String(text).replaceAll('"', '""') + '"'; }
const COLUMNS = ["image", "reader", ...MARKS.map(([name]) => name), "note", "suspected",
  "nearest_record", "time"];
function csv() {
  const lines = [COLUMNS.join(",")];
  for (const image of [...AUDIT.images].sort((a, b) => a.number - b.number)) {
    const mark = state.marks[image.number];
    if (!mark) continue;
    lines.push([image.number, quote(state.reader), ...MARKS.map(([name]) => mark[name] ? 1 : 0),
      quote(mark.note || ""), image.suspected ? 1 : 0, quote(image.record),
      mark.time || ""].join(","));
  }
  return lines.join("\\n") + "\\n";
}
function exportMarks() {
  const link = element("a", null, {download: `marks_${AUDIT.id}.csv`,
    href: URL.createObjectURL(new Blob([csv()], {type: "text/csv"}))});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
function parse(text) {
  const rows = [[]];
  let cell = "", quoted = false;
  for (let i = 0; i < text.length; i++) {
    const letter = text[i];
    if (quoted) {
      if (letter !== '"') cell += letter;
      else if (text[i + 1] === '"') { cell += letter; i++; }
      else quoted = false;
    } else if (letter === '"') quoted = true;
    else if (letter === ",") { rows.at(-1).push(cell); cell = ""; }
    else if (letter === "\\n") { rows.at(-1).push(cell); cell = ""; rows.push([]); }
    else if (letter !== "\\r") cell += letter;
  }
  if (cell || rows.at(-1).length) rows.at(-1).push(cell);
  return rows.filter(row => row.length > 1);
}
function importMarks(text) {
  const [header, ...rows] = parse(text);
  const known = new Set(AUDIT.images.map(image => String(image.number)));
  if (!header || header.join() !== COLUMNS.join() || rows.some(row => !known.has(row[0]))) {
    warn("That file holds no marks of this audit.");
    return;
  }
  for (const row of rows) {
    const mark = {note: row[2 + MARKS.length], time: row.at(-1)};
    MARKS.forEach(([name], i) => { mark[name] = row[2 + i] === "1"; });
    state.marks[row[0]] = mark;
    state.reader = state.reader || row[1];
  }
  $("reader").value = state.reader;
  save();
  choose();
  draw();
}
$("title").textContent = AUDIT.title;
document.title = AUDIT.title;
load();
$("reader").value = state.reader;
$("reader").addEventListener("input", () => { state.reader = $("reader").value; save(); });
for (const id of ["order", "filter"])
  $(id).addEventListener("change", () => { page = 0; current = 0; choose(); draw(); });
$("previous").addEventListener("click", () => turn(-1));
$("next").addEventListener("click", () => turn(1));
$("export").addEventListener("click", exportMarks);
$("import").addEventListener("change", event =>
  event.target.files[0] && event.target.files[0].text().then(importMarks));
$("help").addEventListener("click", () => {
  $("keys").hidden = !$("keys").hidden;
  $("help").setAttribute("aria-expanded", String(!$("keys").hidden));
});
document.addEventListener("keydown", event => {
  if (event.target.matches("input, select")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const box = document.querySelectorAll("article")[current];
  const mark = MARKS.find(([, key]) => key === event.key);
  const key = event.key.toLowerCase();
  if (mark && box)
    toggle(AUDIT.images.find(image => String(image.number) === box.dataset.number), mark[0]);
  else if (key === "j" || key === "arrowdown") move(1);
  else if (key === "k" || key === "arrowup") move(-1);
  else if (key === "n" && !$("next").disabled) turn(1);
  else if (key === "p" && !$("previous").disabled) turn(-1);
  else if (key === "t" && box) box.querySelector("input").focus();
  else if (key === "e") exportMarks();
  else if (key === "?" || key === "h") $("help").click();
  else return;
  event.preventDefault();
});
choose();
draw();
</script>
</body>
</html>
"""
