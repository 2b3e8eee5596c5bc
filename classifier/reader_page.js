// The pages of a study: start, reading, break, end. ECMAScript 2017, and no network.

const REASONS = {
  vessels: "Vessels",
  bones: "Bones",
  waves: "Wave-like pattern",
  markers: "Markers or letters",
  other: "Something else"
};
const AWAY = 5000; // ms after a deadline: nobody was at the screen, or the computer slept
const URGENT = 5000; // ms
const GRACE = 400; // ms after a change by the clock in which input was meant for what was there before
const AHEAD = 2; // images decoded before they are needed

const pictures = {}; // {item: Image}
let pauseWanted = false;
let zoomStep = 0;
let blocked = false;
let changedByClock = 0; // time of day, ms

function byId(id) { return document.getElementById(id); }

function show(screen) {
  ["loading", "start", "reading", "break", "end", "blocked"].forEach(function (id) {
    byId(id).hidden = id !== screen;
  });
  const timed = screen === "reading" && LIMIT !== null;
  byId("timer").hidden = !timed;
  document.querySelector("header").className = timed ? "timed" : "";
}

function sizeText(resolution) { return resolution + " \u00d7 " + resolution; }

function tooEarly() { return Math.abs(Date.now() - changedByClock) < GRACE; }

function plural(count, noun) { return count + " " + noun + (count === 1 ? "" : "s"); }

// Start.

function addLine(parent, tag, text) {
  parent.appendChild(document.createElement(tag)).textContent = text;
}

function showStart() {
  byId("start-title").textContent = STUDY.title;
  byId("consent-reader").textContent = STUDY.reader;
  const rules = byId("rules");
  addLine(rules, "li", "There are " + plural(SEQUENCE.length, "radiograph") + ": " +
    STUDY.blocks.map(function (block) {
      return block.items.length + " of " + sizeText(block.resolution) + " pixels";
    }).join(", ") + ", in this order. All are different.");
  if (LIMIT !== null) {
    addLine(rules, "li", "You have " + plural(STUDY.seconds, "second") + " for each one. When " +
      "the time is up, the next one follows; what you have not answered stays unanswered.");
  }
  addLine(rules, "li", TIMED
    ? "You cannot go back, and the clock keeps running if you reload or close the page. There is " +
      "a break after each size, and you can ask for one with P."
    : "There is no time limit. You can go back and change answers until you finish.");
  addLine(rules, "li", STUDY.zoom ? "You can enlarge the images with + and \u2212, and move them " +
    "with the mouse." : "The images cannot be enlarged.");
  addLine(rules, "li", "Answer with the mouse or with the keys R (real) and S (synthetic)" +
    (needsNext() ? "; Enter goes on." : "; an answer leads to the next image at once."));
  warnAtStart();
  show("start");
}

function warnAtStart() {
  const warnings = byId("start-warnings");
  warnings.textContent = "";
  if (!storageWorks) {
    addLine(warnings, "p", "This browser does not keep anything for this page. If it is reloaded " +
      "or closed, all answers are lost: please do the study in one go and save the file at its end.");
  }
  const largest = Math.max.apply(null, STUDY.blocks.map(function (b) { return b.resolution; }));
  const room = Math.min(window.innerWidth - 250, window.innerHeight - 44) *
    (window.devicePixelRatio || 1);
  if (room < largest) {
    addLine(warnings, "p", "This window is too small for images of " + sizeText(largest) +
      " pixels, which would be shown reduced. Please enlarge it (F11: full screen) or use a " +
      "larger screen if you can.");
  }
}

function begin(event) {
  event.preventDefault();
  state.background = {
    group: STUDY.group,
    specialty: byId("specialty").value.trim(),
    years: Number(byId("years").value),
    screen: byId("screen").value.trim(),
    window: window.innerWidth + "x" + window.innerHeight,
    pixel_ratio: Math.round(100 * (window.devicePixelRatio || 1)) / 100,
    scales: {}
  };
  state.started = new Date().toISOString();
  state.screen = "reading";
  keep();
  showScreen();
}

// Reading.

function needsNext() { return !TIMED || STUDY.confidence || STUDY.reasons.length > 0; }

function picture(item) {
  if (!pictures[item]) {
    pictures[item] = new Image();
    pictures[item].src = "data:image/png;base64," + byId("image-" + item).textContent.trim();
  }
  return pictures[item];
}

function preload() {
  // Those further away are let go: a large study has hundreds of megabytes of them.
  const near = SEQUENCE.slice(Math.max(0, state.position - 1), state.position + AHEAD + 1);
  Object.keys(pictures).forEach(function (item) {
    if (!near.some(function (entry) { return entry.item === item; })) delete pictures[item];
  });
  for (let i = state.position; i <= state.position + AHEAD && i < SEQUENCE.length; i++) {
    picture(SEQUENCE[i].item);
  }
}

function showReading() {
  // Not to be seen again after a reload.
  if (LIMIT !== null && state.shown !== null && timeLeft() <= 0) {
    leave(timeLeft() < -AWAY ? "away" : "");
    return;
  }
  const entry = present();
  const now = picture(entry.item);
  if (!now.complete) { // its time begins when it can be seen
    now.onload = function () { if (present() === entry) showScreen(); };
    return;
  }
  show("reading");
  const image = byId("image");
  image.src = now.src;
  image.alt = "Radiograph " + (state.position + 1);
  zoomStep = 0;
  fit();
  if (state.shown === null) startClock();
  const block = STUDY.blocks[entry.block];
  byId("progress").textContent = "Radiograph " + (block.items.indexOf(entry.item) + 1) + " of " +
    block.items.length + "  \u00b7  " + sizeText(entry.resolution) + " pixels" +
    (STUDY.blocks.length > 1 ? "  \u00b7  part " + (entry.block + 1) + " of " +
    STUDY.blocks.length : "");
  showAnswer();
  tick();
  keep();
  preload();
}

// Sizes in screen pixels per image pixel, from that of the whole image on.
function scales() {
  const stage = byId("stage");
  const room = Math.min(stage.clientWidth, stage.clientHeight) * (window.devicePixelRatio || 1);
  const whole = room / present().resolution;
  const first = whole >= 1 ? Math.floor(whole) : whole;
  return whole >= 1 ? [first, 2 * first, 4 * first, 8 * first] : [first, 1, 2, 4];
}

function fit() {
  const all = scales();
  const scale = all[zoomStep];
  const image = byId("image");
  const size = present().resolution * scale / (window.devicePixelRatio || 1) + "px";
  image.style.width = size;
  image.style.height = size;
  image.className = scale >= 1 ? "whole" : "";
  byId("stage").className = zoomStep > 0 ? "zoomed" : "";
  byId("smaller").disabled = zoomStep === 0;
  byId("larger").disabled = zoomStep === all.length - 1;
  byId("scale").textContent = scale >= 1
    ? "Shown at " + plural(scale, "screen pixel") + " per image pixel, without smoothing."
    : "This window is too small: the image is reduced to " + Math.round(100 * scale) + " %.";
  byId("name").textContent = "Image " + present().item;
  if (zoomStep === 0) {
    state.background.scales[present().resolution] = Math.round(1000 * scale) / 1000;
  }
}

function zoom(step) {
  if (!STUDY.zoom) return;
  const stage = byId("stage");
  // What is in the middle stays there.
  const x = (stage.scrollLeft + stage.clientWidth / 2) / stage.scrollWidth;
  const y = (stage.scrollTop + stage.clientHeight / 2) / stage.scrollHeight;
  zoomStep = Math.max(0, Math.min(scales().length - 1, zoomStep + step));
  fit();
  stage.scrollLeft = x * stage.scrollWidth - stage.clientWidth / 2;
  stage.scrollTop = y * stage.scrollHeight - stage.clientHeight / 2;
}

function showAnswer() {
  const given = answer();
  ["real", "synthetic"].forEach(function (name) {
    byId(name).setAttribute("aria-pressed", String(given.answer === name));
  });
  Array.from(byId("confidence-choices").children).forEach(function (button, i) {
    button.setAttribute("aria-pressed", String(given.confidence === i + 1));
  });
  byId("reasons").disabled = given.answer !== "synthetic";
  STUDY.reasons.forEach(function (name) {
    byId("reason-" + name).checked = given.reasons.indexOf(name) >= 0;
  });
  const last = state.position === SEQUENCE.length - 1;
  byId("next").disabled = given.answer === null || (last && !TIMED);
  byId("back").disabled = state.position === 0;
  byId("forward").disabled = last;
  byId("pause").setAttribute("aria-pressed", String(pauseWanted));
}

function choose(name) {
  answer().answer = name;
  if (needsNext()) {
    showAnswer();
    keep();
  } else {
    next();
  }
}

function rate(confidence) {
  if (!STUDY.confidence) return;
  answer().confidence = confidence;
  showAnswer();
  keep();
}

function toggleReason(name) {
  const given = answer();
  if (given.answer !== "synthetic" || STUDY.reasons.indexOf(name) < 0) return;
  const ticked = given.reasons.indexOf(name) < 0;
  given.reasons = STUDY.reasons.filter(function (other) {
    return other === name ? ticked : given.reasons.indexOf(other) >= 0;
  });
  showAnswer();
  keep();
}

function next() {
  if (byId("next").hidden ? answer().answer === null : byId("next").disabled) return;
  leave("");
}

function leave(why) {
  const why2 = why || (pauseWanted ? "pause" : "");
  pauseWanted = false;
  advance(why2);
  showScreen();
}

function travel(position) {
  if (TIMED || position < 0 || position >= SEQUENCE.length) return;
  stopClock();
  state.position = position;
  keep();
  showScreen();
}

function finish() {
  const open = SEQUENCE.filter(function (entry) {
    const given = state.answers[entry.item];
    return !given || given.answer === null;
  }).length;
  const question = (open ? plural(open, "radiograph") + " without an answer. " : "") +
    "Finish the study? Answers cannot be changed afterwards.";
  if (!window.confirm(question)) return;
  stopClock();
  state.position = SEQUENCE.length - 1;
  leave("");
}

function togglePause() {
  pauseWanted = TIMED && !pauseWanted;
  showAnswer();
}

// Called ten times a second, and when an image appears.
function tick() {
  if (blocked || LIMIT === null || state.screen !== "reading" || state.shown === null) return;
  const left = timeLeft();
  if (left <= 0) {
    changedByClock = Date.now();
    leave(left < -AWAY ? "away" : "");
    return;
  }
  byId("timer-bar").style.width = 100 * left / LIMIT + "%";
  byId("timer-text").textContent = Math.ceil(left / 1000) + " s";
  byId("timer").className = left <= Math.min(URGENT, LIMIT / 2) ? "urgent" : "";
}

// Break and end.

function showBreak() {
  const entry = present();
  const block = STUDY.blocks[entry.block];
  const left = block.items.length - block.items.indexOf(entry.item);
  const titles = {
    block: "Part " + entry.block + " of " + STUDY.blocks.length + " is done",
    pause: "Pause",
    away: "Time was up"
  };
  byId("break-title").textContent = titles[state.why];
  byId("break-text").textContent =
    (state.why === "away" ? "The time for the last radiograph ran out while nobody was here. " : "") +
    (state.why === "block" ? "Next: " : "Still to come in this part: ") +
    plural(left, "radiograph") + " of " + sizeText(entry.resolution) + " pixels" +
    (LIMIT === null ? "." : ", " + plural(STUDY.seconds, "second") + " each.");
  byId("progress").textContent = "";
  preload();
  show("break");
  byId("continue").focus();
}

function goOn() {
  state.screen = "reading";
  keep();
  showScreen();
}

function showEnd() {
  byId("progress").textContent = "";
  byId("result").value = resultText();
  show("end");
  byId("save").focus();
}

function fileName() {
  return "answers_" + STUDY.reader + "_" + STUDY.deck + ".json";
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([resultText()], { type: "application/json" }));
  link.download = fileName();
  document.body.appendChild(link);
  link.click();
  document.body.removeChild(link);
  state.saved = true;
  keep();
  byId("saved").textContent = "Saved as " + fileName() + " in the folder for downloads. Please " +
    "check that it is there before you close this page.";
}

function selectText() {
  byId("result").focus();
  byId("result").select();
  state.saved = true;
  keep();
}

function showScreen() {
  if (blocked) return;
  ({ start: showStart, reading: showReading, break: showBreak, end: showEnd })[state.screen]();
}
