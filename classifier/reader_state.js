// What a reader has done so far. It is kept in the browser after every step, so that a reload or a
// closed window loses nothing and gives no time back: a deadline is a time of day.

const STUDY = JSON.parse(document.getElementById("study").textContent);
const TIMED = STUDY.mode === "timed";
const LIMIT = STUDY.seconds === null ? null : STUDY.seconds * 1000;
const STORE = "reader study " + STUDY.deck + " " + STUDY.reader;
// All images in the order in which they are shown: {item, resolution, block, first}.
const SEQUENCE = [];
STUDY.blocks.forEach(function (block, number) {
  block.items.forEach(function (item, i) {
    SEQUENCE.push({ item: item, resolution: block.resolution, block: number, first: i === 0 });
  });
});

let storageWorks = false;
let shownSteady = null; // as state.shown, by a clock that only goes forward; of this visit
let state = {
  screen: "start", // start, reading, break or end
  why: "", // of a break: block, pause or away
  position: 0,
  answers: {}, // {item: {answer, confidence, reasons, milliseconds}}
  shown: null, // time at which the present image appeared, ms since 1970
  background: {},
  started: null,
  finished: null,
  reloads: 0,
  saved: false
};

// Takes up what an earlier visit left. False if there is nothing.
function restore() {
  try {
    window.localStorage.setItem(STORE + " test", "1");
    window.localStorage.removeItem(STORE + " test");
    storageWorks = true;
    const old = JSON.parse(window.localStorage.getItem(STORE));
    if (old === null || typeof old.position !== "number") return false;
    state = old;
    return true;
  } catch (error) {
    return false;
  }
}

function keep() {
  if (!storageWorks) return;
  try {
    window.localStorage.setItem(STORE, JSON.stringify(state));
  } catch (error) {
    storageWorks = false;
  }
}

function present() { return SEQUENCE[state.position]; }

// The answer to the present image, to read or to change.
function answer() {
  const item = present().item;
  if (!state.answers[item]) {
    state.answers[item] = { answer: null, confidence: null, reasons: [], milliseconds: 0 };
  }
  return state.answers[item];
}

// Begins the time of the present image.
function startClock() {
  state.shown = Date.now();
  shownSteady = window.performance.now();
}

// Time since the present image appeared, ms. Since a reload only the time of day knows; before, a
// clock that nobody can set back does, too.
function timeSpent() {
  const spent = Math.max(0, Date.now() - state.shown);
  return shownSteady === null ? spent : Math.max(spent, window.performance.now() - shownSteady);
}

// Of the time for the present image, ms.
function timeLeft() { return LIMIT - timeSpent(); }

function unansweredPosition() {
  for (let i = 1; i <= SEQUENCE.length; i++) {
    const position = (state.position + i) % SEQUENCE.length;
    const given = state.answers[SEQUENCE[position].item];
    if (!given || given.answer === null) return position;
  }
  return -1;
}

// Adds the time since the image appeared.
function stopClock() {
  if (state.shown === null) return;
  let spent = timeSpent();
  if (LIMIT !== null) spent = Math.min(LIMIT, spent);
  answer().milliseconds += spent;
  state.shown = null;
  shownSteady = null;
}

// Ends the present image and goes on; a timed reader never comes back to it.
function advance(why) {
  stopClock();
  if (state.position + 1 >= SEQUENCE.length) {
    state.screen = "end";
    state.finished = new Date().toISOString();
  } else {
    state.position += 1;
    if (TIMED && present().first) why = "block";
    state.screen = why ? "break" : "reading";
    state.why = why || "";
  }
  keep();
}

function resultText() {
  const result = withDigest({
    format: "reader answers 1",
    deck: STUDY.deck,
    reader: STUDY.reader,
    mode: STUDY.mode,
    background: Object.assign({ reloads: state.reloads }, state.background),
    started: state.started,
    finished: state.finished,
    answers: SEQUENCE.map(function (entry, position) {
      const given = state.answers[entry.item];
      return {
        item: entry.item,
        resolution: entry.resolution,
        position: position,
        answer: given ? given.answer : null,
        confidence: given ? given.confidence : null,
        milliseconds: given ? given.milliseconds : 0,
        // Only what is called synthetic was given away by something.
        reasons: given && given.answer === "synthetic" ? given.reasons : []
      };
    })
  });
  return JSON.stringify(result, null, 1) + "\n";
}
