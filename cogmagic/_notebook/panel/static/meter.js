// Live memory as bars with a sparkline, and what only a page can know: whether anyone is looking.
// The model's `sample` is one moment: {tick, bars: [{label, total, parts: [[class, bytes, words]],
// mark, ghost, note}], said}. Each is news, even where nothing has changed: `tick` counts them.
// No library, no request to anywhere.

const GIB = 2 ** 30;
const SPAN = 120_000; // milliseconds of the sparkline
const SILENCE = 6000; // milliseconds without news after which it is said
const SPACE = "http://www.w3.org/2000/svg";
const shared = new WeakMap(); // model -> what its views have in common

const gib = (bytes) => (bytes == null ? "n/a" : `${(bytes / GIB).toFixed(2)} GiB`);

function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text) made.textContent = text;
  return made;
}

function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// A row that stays and is drawn anew, so that what the pointer rests on does not go.
function row() {
  const el = element("div", "cogmagic-row");
  const [label, track] = [element("div", "cogmagic-label"), element("div", "cogmagic-track")];
  const svg = document.createElementNS(SPACE, "svg");
  const line = document.createElementNS(SPACE, "polyline");
  const [words, note] = [element("div", "cogmagic-words"), element("div", "cogmagic-note")];
  svg.setAttribute("viewBox", `0 0 ${SPAN} 20`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "cogmagic-spark");
  svg.setAttribute("aria-hidden", "true");
  svg.append(line);
  track.setAttribute("role", "img");
  el.append(label, track, svg, words, note);

  const update = (data, history) => {
    const said = data.parts.map(([, bytes, name]) => `${name} ${gib(bytes)}`);
    if (data.mark) said.push(`peak of the run ${gib(data.mark)}`);
    if (data.ghost) said.push(`predicted need ${gib(data.ghost)}`);
    say(label, data.label);
    say(words, said.join(" · "));
    say(note, data.note ?? "");
    track.setAttribute("aria-label", `${data.label}: ${said.join(", ")}, of ${gib(data.total)}`);
    track.title = said.join("\n");
    const place = (bytes) => `${Math.min(100, (100 * bytes) / data.total)}%`;
    const drawn = (data.total ? data.parts : []).map(([kind, bytes]) => {
      const part = element("span", `cogmagic-part cogmagic-${kind}`);
      part.style.width = place(bytes);
      return part;
    });
    for (const kind of ["ghost", "mark"]) {
      if (!data.total || !data[kind]) continue;
      const mark = element("span", `cogmagic-${kind}`);
      mark.style[kind === "ghost" ? "width" : "left"] = place(data[kind]);
      drawn.push(mark);
    }
    track.replaceChildren(...drawn);
    const now = Date.now();
    const point = ([at, used]) => `${SPAN - (now - at)},${20 - (20 * used) / (data.total || 1)}`;
    line.setAttribute("points", history.map(point).join(" "));
  };
  return { el, update };
}

function render({ model, el }) {
  if (!shared.has(model)) shared.set(model, { histories: [], seen: new Set(), last: Date.now(), heard: false });
  const state = shared.get(model);
  const root = element("div", "cogmagic-meter");
  const silence = element("div", "cogmagic-dead");
  silence.setAttribute("role", "status");
  const [bars, said] = [element("div"), element("div", "cogmagic-note")];
  root.append(bars, said, silence);
  el.append(root);
  const rows = [];

  const draw = () => {
    const sample = model.get("sample");
    const all = sample.bars ?? [];
    while (rows.length < all.length) bars.append(rows[rows.push(row()) - 1].el);
    while (rows.length > all.length) rows.pop().el.remove();
    all.forEach((data, i) => rows[i].update(data, state.histories[i] ?? []));
    say(said, sample.said ?? "");
  };
  const take = () => {
    if (state.taken !== model.get("sample")) {
      state.taken = model.get("sample");
      state.last = Date.now();
      state.heard = true;
      (state.taken.bars ?? []).forEach((data, i) => {
        const used = data.parts.reduce((sum, [kind, bytes]) => (kind === "free" ? sum : sum + bytes), 0);
        const kept = (state.histories[i] ?? []).filter(([at]) => state.last - at < SPAN);
        state.histories[i] = [...kept, [state.last, used]];
      });
    }
    say(silence, "");
    bars.classList.remove("cogmagic-stale");
    draw();
  };
  const copy = () => {
    const text = model.get("copied");
    if (text && navigator.clipboard) navigator.clipboard.writeText(text.replace(/^\d+ /, "")).catch(() => {});
  };

  const tell = () => {
    model.set("visible", state.seen.size > 0);
    model.save_changes();
  };
  const look = (visible) => {
    const before = state.seen.size;
    visible && !document.hidden ? state.seen.add(root) : state.seen.delete(root);
    if (!before !== !state.seen.size) {
      state.last = Date.now();
      state.heard = false;
      tell();
    }
  };
  // Another page on the same kernel has gone out of sight: this one has not. Later, for what is
  // set back while a change is being taken is no change, and is not sent.
  const disagree = () =>
    setTimeout(() => {
      if (!model.get("visible") && state.seen.has(root)) tell();
    }, 50);
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
    // Readings come from a thread of their own; only the wish for them waits for a busy kernel.
    say(
      silence,
      state.heard
        ? `No news from the kernel since ${since}. If it was restarted, or has ended, this panel is dead:` +
            " run %cogvideo panel again. (A cell that keeps Python's other threads waiting silences it, too.)"
        : "Waiting for the kernel, which is busy with a cell. If it was restarted, this panel is dead:" +
            " run %cogvideo panel again.",
    );
    bars.classList.add("cogmagic-stale");
  }, 1000);

  model.on("change:sample", take);
  model.on("change:copied", copy);
  model.on("change:visible", disagree);
  draw();
  return () => {
    look(false);
    watcher.disconnect();
    clearInterval(pulse);
    document.removeEventListener("visibilitychange", hidden);
    model.off("change:sample", take);
    model.off("change:copied", copy);
    model.off("change:visible", disagree);
  };
}

export default { render };
