// A mask on the frame of a clip. What is drawn is sent to Python, which answers with the mask's
// pixels (`overlay`); until then the page shows the shapes that it has sent.

const PATIENCE = 1500; // milliseconds after which the page says that it waits
const BUSY = "Waiting for the kernel, which is busy with a cell. If it was restarted, run the cell of this mask again.";
const DOING = { save: "Saving …", film: "Making the preview …" };
const LOST = "The kernel was restarted or has ended. Run the cell of this mask again; a saved mask is loaded then.";

// The elements, without what they do.
function layout(about, act) {
  const longest = Math.max(about.width, about.height);
  const range = (attributes) => element("input", "", { type: "range", ...attributes });
  const brush = range({ min: 1, max: Math.ceil(longest / 4), value: Math.ceil(longest / 40) });
  const changed = () => act.giveUp();
  const parts = {
    tool: choice("Tool", TOOLS, changed),
    paint: choice("Paint", PAINTS, changed),
    brush,
    size: element("label", "", { title: "radius of the brush, in pixels of the clip" }, "Radius ", brush),
    smaller: button("−", "the mask smaller by 5 % (-); the frame becomes a keyframe", () => act.resize(false)),
    larger: button("+", "the mask larger by 5 % (+); the frame becomes a keyframe", () => act.resize(true)),
    undo: button("Undo", "take the last change back (Ctrl+Z)", () => act.send({ do: "undo" })),
    redo: button("Redo", "do it again (Ctrl+Shift+Z)", () => act.send({ do: "redo" })),
    clear: button("Clear", "remove all shapes and keyframes; Undo brings them back", () => act.send({ do: "clear" })),
    back: element("canvas", "", { "aria-hidden": "true" }),
    canvas: element("canvas", "mask-mask", { tabindex: 0, role: "application" }),
    slider: range({ min: 0, max: about.frames - 1, value: 0, "aria-label": "Frame", title: "the frame that is shown (, and .)" }),
    marks: element("div", "mask-marks", { "aria-hidden": "true" }),
    time: element("span", "mask-time"),
    before: button("◀ Keyframe", "previous keyframe ([)", () => act.jump(-1)),
    key: button("Keyframe here", "keep the mask here in this frame; between keyframes it moves evenly (K; Delete)", act.toggleKey),
    after: button("Keyframe ▶", "next keyframe (])", () => act.jump(1)),
    preview: button("Preview", "the clip under the moving mask, from this frame on", () => act.send({ do: "film" })),
    save: button("Save", "write the mask as a lossless video beside the clip", () => act.send({ do: "save" })),
    note: element("div", "mask-note", { role: "status" }),
    error: element("div", "mask-error", { role: "alert" }),
    film: element("video", "mask-film", { controls: "", loop: "", "aria-label": "Preview of the mask over the clip" }),
  };
  parts.smaller.setAttribute("aria-label", "Mask smaller");
  parts.larger.setAttribute("aria-label", "Mask larger");
  for (const one of [parts.back, parts.canvas]) [one.width, one.height] = about.shown;
  parts.film.style.width = `${Math.min(about.shown[0], 480)}px`;
  const p = parts;
  const keys = element("p", "", { id: ownName() }, KEYS);
  p.canvas.setAttribute("aria-describedby", keys.id);
  const line = element("div", "mask-line", {}, p.slider, p.marks);
  line.style.maxWidth = `${Math.max(about.shown[0], 320)}px`;
  parts.root = element(
    "div", "mask", { "data-lm-suppress-shortcuts": "true", role: "group", "aria-label": "Mask of a clip" },
    element(
      "div", "mask-bar", {}, p.tool.el, p.paint.el,
      element("div", "mask-size", {}, p.size, p.smaller, p.larger), p.undo, p.redo, p.clear,
    ),
    element("div", "mask-stage", {}, p.back, p.canvas),
    line,
    element("div", "mask-bar", {}, p.before, p.key, p.after, p.time, p.preview, p.save),
    p.note, p.error, p.film,
    element("details", "mask-help", {}, element("summary", "", {}, "Keys"), keys),
  );
  parts.root.style.maxWidth = `${Math.max(about.shown[0], 760)}px`;
  return parts;
}

function render({ model, el }) {
  const about = model.get("about");
  const state = () => model.get("state");
  let sent = state().answered;
  let wanted = null; // the frame to show once the last message has been answered
  let waiting = 0;
  let images = {};
  // What pointer and keys change, and what they may do.
  const page = {
    about,
    gesture: null, // {kind, points, fixed?} of what is being drawn
    cursor: null, // the pointer, or the crosshair of the keys
    get box() { return state().box; },
    get frame() { return Number(page.slider.value); }, // which the page shows, at once or soon
    send(command) {
      clearTimeout(waiting);
      sent = Math.max(sent, state().answered) + 1; // another view may have sent more
      try {
        model.send({ ...command, id: sent });
      } catch { // the front end has closed the connection
        page.error.textContent = LOST;
        return sent;
      }
      const note = DOING[command.do];
      if (note) page.note.textContent = note;
      else waiting = setTimeout(() => { page.note.textContent = BUSY; }, PATIENCE);
      return sent;
    },
    onFrame: (command) => page.send({ frame: page.frame, ...command }),
    sendShape(shape) {
      const numbers = [about.levels[shape.paint], shape.radius, ...shape.points.flat()];
      pending.push({ id: page.onFrame({ do: "draw", shape: numbers }), shape });
    },
    sendMove: (move) => pending.push({ id: page.onFrame({ do: "move", ...move }), move }),
    resize(larger) {
      const [left, top, right, bottom] = page.box ?? [0, 0, 0, 0];
      if (page.box) page.sendMove(scaled(larger ? 1.05 : 1 / 1.05, [(left + right) / 2, (top + bottom) / 2]));
      page.draw();
    },
    toggleKey: () => page.onFrame({ do: hasKey() ? "unkey" : "key" }),
    show(frame) {
      page.slider.value = wanted = Math.min(Math.max(frame, 0), about.frames - 1);
      page.giveUp();
      if (state().answered >= sent) page.send({ do: "show", frame: wanted });
    },
    step: (by) => page.show(page.frame + by),
    jump(by) {
      const keys = state().keyframes.filter((k) => (k - page.frame) * by > 0);
      if (keys.length) page.show(by < 0 ? keys.at(-1) : keys[0]);
    },
    giveUp() {
      page.gesture = null;
      update();
    },
    draw() { draw(); },
  };
  const hasKey = () => state().keyframes.includes(page.frame);
  Object.assign(page, layout(about, page));
  const { canvas, tool, paint, brush, slider } = page;
  el.append(page.root);
  const paper = page.back.getContext("2d");
  const colours = Object.fromEntries(Object.entries(about.levels).map(([name, level]) => [name, about.colours[level]]));
  const ink = pen(canvas, about.shown[0] / about.width, colours);
  let pending = []; // what was sent and not yet answered: {id, shape} or {id, move}

  const draw = () => {
    const { gesture, cursor } = page;
    if (images.picture) paper.drawImage(images.picture, 0, 0, ...about.shown);
    const moves = pending.flatMap((one) => one.move ?? []);
    if (gesture?.kind === "move") moves.push(moveOf(gesture));
    const move = moves.reduce(then, RESTING);
    ink.begin(images.overlay, move);
    for (const { shape } of pending) if (shape) ink.shape(shape);
    const shape = { radius: 0, paint: paint.value, points: gesture?.points };
    if (gesture?.kind === "brush") ink.shape({ ...shape, radius: Number(brush.value) });
    if (gesture?.kind === "rectangle") ink.shape({ ...shape, points: rectangle(gesture.points) });
    if (gesture?.kind === "polygon") ink.shape({ ...shape, points: [...gesture.points, ...(cursor ? [cursor] : [])] }, false);
    if (tool.value === "move" && page.box) ink.box(page.box, move);
    if (cursor && tool.value !== "move") ink.crosshair(cursor, tool.value === "brush" ? Number(brush.value) : 0);
  };
  const update = () => {
    const now = state();
    const drawn = Boolean(now.box);
    if (wanted === null) slider.value = now.frame;
    [page.undo.disabled, page.redo.disabled] = [!now.undo, !now.redo];
    for (const name of ["clear", "smaller", "larger", "key", "preview", "save"]) page[name].disabled = !drawn;
    page.before.disabled = !now.keyframes.some((k) => k < page.frame);
    page.after.disabled = !now.keyframes.some((k) => k > page.frame);
    page.key.setAttribute("aria-pressed", String(hasKey()));
    page.size.hidden = tool.value !== "brush";
    page.smaller.hidden = page.larger.hidden = tool.value !== "move";
    for (const name of ["note", "error"]) if (page[name].textContent !== now[name]) page[name].textContent = now[name];
    page.marks.replaceChildren(...now.keyframes.map((k) => {
      const mark = element("span");
      mark.style.left = `${(100 * k) / Math.max(about.frames - 1, 1)}%`;
      return mark;
    }));
    const seconds = (page.frame * about.interval).toFixed(2);
    page.time.textContent = `Frame ${page.frame + 1} of ${about.frames} · ${seconds} s`;
    slider.setAttribute("aria-valuetext", page.time.textContent);
    canvas.setAttribute("aria-label", `Mask on frame ${now.frame + 1} of ${about.frames}`);
    canvas.dataset.tool = tool.value;
    draw();
  };
  const answer = () => {
    const { answered, frame, error } = state();
    if (answered >= sent) clearTimeout(waiting);
    if (answered >= sent && wanted !== null && wanted !== frame && !error) page.send({ do: "show", frame: wanted });
    else if (answered >= sent) wanted = null;
    update();
  };
  const load = async () => {
    const { answered } = state();
    const [picture, overlay] = await Promise.all([bitmap(model.get("picture")), bitmap(model.get("overlay"))]);
    if (answered < (images.answered ?? -1)) return; // a later one was faster
    images = { picture, overlay, answered };
    pending = pending.filter((one) => one.id > answered);
    draw();
  };
  const play = () => {
    const data = model.get("film");
    if (!data?.byteLength) return;
    URL.revokeObjectURL(page.film.src);
    page.film.src = URL.createObjectURL(new Blob([data], { type: "video/mp4" }));
    page.film.muted = true;
    page.film.play().catch(() => {}); // in a page that nobody has clicked
  };

  hands(page);
  slider.addEventListener("input", () => page.show(page.frame));
  brush.addEventListener("input", draw);
  const events = { "change:state": () => { answer(); load(); }, "change:film": play };
  for (const [name, act] of Object.entries(events)) model.on(name, act);
  update();
  load();
  play();
  return () => {
    clearTimeout(waiting);
    URL.revokeObjectURL(page.film.src);
    for (const [name, act] of Object.entries(events)) model.off(name, act);
  };
}

export default { render };
