// Keys, mouse and what is built once; starts the page.

function pressed(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || blocked) return;
  if (tooEarly()) return;
  let action = null;
  if (state.screen === "break" && event.key === "Enter") action = goOn;
  if (state.screen === "reading" && !byId("reading").hidden) action = keyAction(event.key);
  if (action) {
    event.preventDefault();
    action();
  }
}

function keyAction(key) {
  const actions = {
    r: choose.bind(null, "real"),
    s: choose.bind(null, "synthetic"),
    Enter: next,
    "+": zoom.bind(null, 1),
    "=": zoom.bind(null, 1),
    "-": zoom.bind(null, -1)
  };
  if (TIMED) {
    actions.p = togglePause;
  } else {
    actions.ArrowLeft = function () { travel(state.position - 1); };
    actions.ArrowRight = function () { travel(state.position + 1); };
    actions.u = function () { travel(unansweredPosition()); };
  }
  if (STUDY.confidence && key >= "1" && key <= "5") return rate.bind(null, Number(key));
  STUDY.reasons.forEach(function (name) { actions[name[0]] = toggleReason.bind(null, name); });
  return actions[key.length === 1 ? key.toLowerCase() : key] || null;
}

function onClick(id, action) {
  byId(id).addEventListener("click", function (event) {
    // The second click of a double one was not meant for the next image.
    if (event.detail < 2 && !tooEarly()) action();
  });
}

function makeDraggable(stage) {
  let from = null;
  stage.addEventListener("mousedown", function (event) {
    from = { x: event.clientX + stage.scrollLeft, y: event.clientY + stage.scrollTop };
    event.preventDefault();
  });
  window.addEventListener("mousemove", function (event) {
    if (from === null || zoomStep === 0) return;
    stage.scrollLeft = from.x - event.clientX;
    stage.scrollTop = from.y - event.clientY;
  });
  window.addEventListener("mouseup", function () { from = null; });
}

function buildPanel() {
  byId("confidence").hidden = !STUDY.confidence;
  for (let i = 1; i <= 5; i++) {
    const button = document.createElement("button");
    button.type = "button";
    button.id = "confidence-" + i;
    button.textContent = i;
    byId("confidence-choices").appendChild(button);
    onClick(button.id, rate.bind(null, i));
  }
  byId("reasons").hidden = STUDY.reasons.length === 0;
  STUDY.reasons.forEach(function (name) {
    const label = document.createElement("label");
    const box = label.appendChild(document.createElement("input"));
    box.type = "checkbox";
    box.id = "reason-" + name;
    const key = label.appendChild(document.createElement("kbd"));
    key.textContent = name[0].toUpperCase();
    label.appendChild(document.createTextNode(REASONS[name]));
    byId("reasons").appendChild(label);
    box.addEventListener("change", toggleReason.bind(null, name));
  });
  byId("next").hidden = !needsNext();
  byId("travel").hidden = TIMED;
  byId("zoom").hidden = !STUDY.zoom;
  byId("pause").hidden = !TIMED;
}

function connect() {
  byId("form").addEventListener("submit", begin);
  onClick("real", choose.bind(null, "real"));
  onClick("synthetic", choose.bind(null, "synthetic"));
  onClick("next", next);
  onClick("back", function () { travel(state.position - 1); });
  onClick("forward", function () { travel(state.position + 1); });
  onClick("unanswered", function () { travel(unansweredPosition()); });
  onClick("finish", finish);
  onClick("smaller", zoom.bind(null, -1));
  onClick("larger", zoom.bind(null, 1));
  onClick("pause", togglePause);
  onClick("continue", goOn);
  onClick("save", save);
  onClick("select", selectText);
  makeDraggable(byId("stage"));
  window.addEventListener("keydown", pressed);
  window.addEventListener("resize", function () {
    if (!byId("reading").hidden) fit();
    if (state.screen === "start") warnAtStart();
  });
  window.addEventListener("beforeunload", function (event) {
    if (state.screen === "start" || state.saved || blocked) return;
    event.preventDefault();
    event.returnValue = ""; // asks the reader whether to leave
  });
  window.addEventListener("storage", function (event) {
    if (event.key !== STORE || event.newValue === null) return;
    blocked = true;
    show("blocked");
  });
  window.setInterval(tick, 100);
}

byId("title").textContent = STUDY.title;
buildPanel();
connect();
if (restore()) {
  state.reloads += 1;
  if (LIMIT === null) state.shown = null; // the time in between was no reading
  keep();
}
showScreen();
