// Live memory as bars with a sparkline, and what only a page can know: whether anyone is looking.
// The model's `sample` is one moment: {bars: [{label, total, parts: [[class, bytes, words]],
// mark, ghost, note}], said}. No library, no request to anywhere.

const GIB = 2 ** 30;
const KEPT = 240; // moments of the sparkline: two minutes
const SILENCE = 6000; // milliseconds without news after which the kernel is taken to be gone
const shared = new WeakMap(); // model -> what its views have in common

const gib = (bytes) => (bytes == null ? "n/a" : `${(bytes / GIB).toFixed(2)} GiB`);

function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text) made.textContent = text;
  return made;
}

function bar(data, history) {
  const row = element("div", "cogmagic-row");
  row.append(element("div", "cogmagic-label", data.label));
  const track = element("div", "cogmagic-track");
  const words = data.parts.map(([, bytes, said]) => `${said} ${gib(bytes)}`);
  if (data.mark) words.push(`peak of the run ${gib(data.mark)}`);
  if (data.ghost) words.push(`predicted need ${gib(data.ghost)}`);
  track.setAttribute("role", "img");
  track.setAttribute("aria-label", `${data.label}: ${words.join(", ")}, of ${gib(data.total)}`);
  track.title = words.join("\n");
  const place = (bytes) => `${Math.min(100, (100 * bytes) / data.total)}%`;
  for (const [kind, bytes] of data.total ? data.parts : []) {
    const part = element("span", `cogmagic-part cogmagic-${kind}`);
    part.style.width = place(bytes);
    track.append(part);
  }
  for (const kind of ["ghost", "mark"]) {
    if (!data.total || !data[kind]) continue;
    const line = element("span", `cogmagic-${kind}`);
    line.style[kind === "ghost" ? "width" : "left"] = place(data[kind]);
    track.append(line);
  }
  row.append(track, sparkline(history, data.total), element("div", "cogmagic-words", words.join(" · ")));
  if (data.note) row.append(element("div", "cogmagic-note", data.note));
  return row;
}

function sparkline(history, total) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", `0 0 ${KEPT} 20`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "cogmagic-spark");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(space, "polyline");
  const from = KEPT - history.length;
  const point = (used, i) => `${from + i},${20 - (20 * used) / (total || 1)}`;
  line.setAttribute("points", history.map(point).join(" "));
  svg.append(line);
  return svg;
}

function render({ model, el }) {
  if (!shared.has(model)) shared.set(model, { histories: [], seen: new Set(), last: Date.now() });
  const state = shared.get(model);
  const root = element("div", "cogmagic-meter");
  const silence = element("div", "cogmagic-dead");
  silence.setAttribute("role", "status");
  const bars = element("div");
  root.append(bars, silence);
  el.append(root);

  const draw = () => {
    const { bars: all = [], said = "" } = model.get("sample");
    bars.replaceChildren(...all.map((data, i) => bar(data, state.histories[i] ?? [])));
    if (said) bars.append(element("div", "cogmagic-note", said));
  };
  const take = () => {
    if (state.taken !== model.get("sample")) {
      state.taken = model.get("sample");
      state.last = Date.now();
      (state.taken.bars ?? []).forEach((data, i) => {
        const used = data.parts.reduce((sum, [kind, bytes]) => (kind === "free" ? sum : sum + bytes), 0);
        (state.histories[i] ??= []).push(used);
        if (state.histories[i].length > KEPT) state.histories[i].shift();
      });
    }
    silence.textContent = "";
    draw();
  };
  const copy = () => {
    const text = model.get("copied");
    if (text && navigator.clipboard) navigator.clipboard.writeText(text.replace(/^\d+ /, "")).catch(() => {});
  };

  const look = (visible) => {
    const before = state.seen.size;
    visible && !document.hidden ? state.seen.add(root) : state.seen.delete(root);
    if (!before !== !state.seen.size) {
      state.last = Date.now();
      model.set("visible", state.seen.size > 0);
      model.save_changes();
    }
  };
  let on_screen = false;
  const watcher = new IntersectionObserver((entries) => {
    on_screen = entries.at(-1).isIntersecting;
    look(on_screen);
  });
  watcher.observe(root);
  const hidden = () => look(on_screen);
  document.addEventListener("visibilitychange", hidden);
  const pulse = setInterval(() => {
    if (!state.seen.has(root) || Date.now() - state.last < SILENCE) return;
    const since = new Date(state.last).toLocaleTimeString();
    silence.textContent =
      `No news from the kernel since ${since}: it was restarted, or has ended. This panel is dead;` +
      " run %cogvideo panel again.";
    bars.classList.add("cogmagic-stale");
  }, 1000);

  model.on("change:sample", take);
  model.on("change:copied", copy);
  draw();
  return () => {
    look(false);
    watcher.disconnect();
    clearInterval(pulse);
    document.removeEventListener("visibilitychange", hidden);
    model.off("change:sample", take);
    model.off("change:copied", copy);
  };
}

export default { render };
