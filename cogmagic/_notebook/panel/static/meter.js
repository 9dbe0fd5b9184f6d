// Live memory as bars with a sparkline, and what only the page knows: whether the panel is in view.
// The model's `reading` is one moment: {tick, bars: [{label, total, parts: [[class, bytes, name]],
// peak, need, note}], note}. `tick` counts the readings, so that equal ones are changes, too.
// No library, no network request.

const GIB = 2 ** 30;
const SPAN = 120_000; // milliseconds of the sparkline
const SILENCE = 6000; // milliseconds without a reading after which the panel reports it
const SVG = "http://www.w3.org/2000/svg";
const shared = new WeakMap(); // model -> state that its views share

const gib = (bytes) => (bytes == null ? "n/a" : `${(bytes / GIB).toFixed(2)} GiB`);

function element(tag, name) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  return node;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// One bar. Its elements stay and are updated, so that the tooltip under the pointer stays, too.
function row() {
  const el = element("div", "cogmagic-row");
  const [label, track] = [element("div", "cogmagic-label"), element("div", "cogmagic-track")];
  const svg = document.createElementNS(SVG, "svg");
  const line = document.createElementNS(SVG, "polyline");
  const [words, note] = [element("div", "cogmagic-words"), element("div", "cogmagic-note")];
  svg.setAttribute("viewBox", `0 0 ${SPAN} 20`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "cogmagic-spark");
  svg.setAttribute("aria-hidden", "true");
  svg.append(line);
  track.setAttribute("role", "img");
  el.append(label, note, track, svg, words);
  const keys = new Map();
  // A key that is not shown now keeps its place, so that nothing below moves when it is again.
  const explain = (amounts) => {
    for (const kind of keys.keys()) {
      keys.get(kind).style.visibility = amounts.some((a) => a[0] === kind) ? "" : "hidden";
    }
    for (const [kind, text] of amounts) {
      if (!keys.has(kind)) words.append(keys.set(kind, element("span", `cogmagic-key cogmagic-key-${kind}`)).get(kind));
      setText(keys.get(kind), text);
    }
  };

  const update = (data, history) => {
    const parts = data.parts.filter(([kind, bytes]) => bytes || kind === "mine" || kind === "free");
    const amounts = parts.map(([kind, bytes, name]) => [kind, `${name} ${gib(bytes)}`]);
    if (data.peak) amounts.push(["peak", `peak of the run ${gib(data.peak)}`]);
    if (data.need) amounts.push(["need", `predicted need ${gib(data.need)}`]);
    const texts = amounts.map(([, text]) => text);
    setText(label, data.label);
    explain(amounts);
    setText(note, data.note ?? "");
    track.setAttribute("aria-label", `${data.label}: ${texts.join(", ")}, of ${gib(data.total)}`);
    track.title = `${texts.join("\n")}\nof ${gib(data.total)}`;
    const percent = (bytes) => `${Math.min(100, (100 * bytes) / data.total)}%`;
    const drawn = (data.total ? data.parts : []).map(([kind, bytes]) => {
      const part = element("span", `cogmagic-part cogmagic-${kind}`);
      part.style.width = percent(bytes);
      return part;
    });
    for (const [kind, side] of [["need", "width"], ["peak", "left"]]) {
      if (!data.total || !data[kind]) continue;
      const mark = element("span", `cogmagic-${kind}`);
      mark.style[side] = percent(data[kind]);
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
  if (!shared.has(model)) {
    shared.set(model, { histories: [], visible: new Set(), last: Date.now(), heard: false });
  }
  const state = shared.get(model);
  const root = element("div", "cogmagic-meter");
  const silence = element("div", "cogmagic-silence");
  silence.setAttribute("role", "status");
  const [bars, note] = [element("div"), element("div", "cogmagic-note")];
  root.append(bars, note, silence);
  el.append(root);
  const rows = [];

  const draw = () => {
    const reading = model.get("reading");
    const all = reading.bars ?? [];
    while (rows.length < all.length) bars.append(rows[rows.push(row()) - 1].el);
    while (rows.length > all.length) rows.pop().el.remove();
    all.forEach((data, i) => rows[i].update(data, state.histories[i] ?? []));
    setText(note, reading.note ?? "");
  };
  const take = () => {
    if (state.reading !== model.get("reading")) {
      state.reading = model.get("reading");
      state.last = Date.now();
      state.heard = true;
      (state.reading.bars ?? []).forEach((data, i) => {
        const used = data.parts.reduce((sum, [kind, bytes]) => (kind === "free" ? sum : sum + bytes), 0);
        const recent = (state.histories[i] ?? []).filter(([at]) => state.last - at < SPAN);
        state.histories[i] = [...recent, [state.last, used]];
      });
    }
    setText(silence, "");
    bars.classList.remove("cogmagic-stale");
    draw();
  };

  const sendVisible = () => {
    model.set("visible", state.visible.size > 0);
    model.save_changes();
  };
  const updateVisible = () => {
    const before = state.visible.size;
    onScreen && !document.hidden ? state.visible.add(root) : state.visible.delete(root);
    if (!before !== !state.visible.size) {
      state.last = Date.now();
      state.heard = false;
      sendVisible();
    }
  };
  // Another page of the same kernel was hidden, and this one was not. The delay is needed because
  // a value that is restored while its change is handled is not sent.
  const correctVisible = () =>
    setTimeout(() => {
      if (!model.get("visible") && state.visible.has(root)) sendVisible();
    }, 50);
  let onScreen = false;
  const observer = new IntersectionObserver((entries) => {
    onScreen = entries.at(-1).isIntersecting;
    updateVisible();
  });
  const start = setInterval(() => {
    const panel = root.closest(".cogmagic-panel"); // any part of it may be in view
    if (!panel) return; // not yet in the page
    clearInterval(start);
    observer.observe(panel);
  }, 50);
  document.addEventListener("visibilitychange", updateVisible);
  const pulse = setInterval(() => {
    if (!state.visible.has(root) || Date.now() - state.last < SILENCE) return;
    const since = new Date(state.last).toLocaleTimeString();
    // Readings come from a thread of their own, so a busy kernel delays only the first one.
    setText(
      silence,
      state.heard
        ? `No reading from the kernel since ${since}. If the kernel was restarted or has ended, run` +
            " %cogvideo panel again. (A cell that blocks Python's other threads also stops the readings.)"
        : "Waiting for the kernel, which is busy with a cell. If the kernel was restarted, run" +
            " %cogvideo panel again.",
    );
    bars.classList.add("cogmagic-stale");
  }, 1000);

  model.on("change:reading", take);
  model.on("change:visible", correctVisible);
  draw();
  return () => {
    onScreen = false;
    updateVisible();
    observer.disconnect();
    clearInterval(start);
    clearInterval(pulse);
    document.removeEventListener("visibilitychange", updateVisible);
    model.off("change:reading", take);
    model.off("change:visible", correctVisible);
  };
}

export default { render };
