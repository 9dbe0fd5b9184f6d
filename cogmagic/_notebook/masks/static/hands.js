// Pointer and keys: both press, drag and release, and so draw the same shapes.
// `page` has the tool, the state, and what is sent to Python; see canvas.js.

const NEAR = 9; // pixels of the page within which a corner is meant
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// The move of a drag: of the whole mask, or of a corner of its box, opposite to `fixed`.
function moveOf({ points: [from, to = from], fixed }) {
  if (!fixed) return { scale: 1, dx: to[0] - from[0], dy: to[1] - from[1] };
  const [far, old] = [to, from].map((point) => Math.hypot(point[0] - fixed[0], point[1] - fixed[1]));
  return scaled(Math.min(Math.max(far / Math.max(old, 1), 0.02), 50), fixed);
}

function hands(page) {
  const { canvas, about, tool, paint, brush } = page;
  const radius = () => Number(brush.value);
  const shown = () => canvas.clientWidth / about.width; // pixels of the page for one of the clip
  const near = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]) * shown() <= NEAR;
  const sendShape = (points, radius) => page.sendShape({ points, radius, paint: paint.value });

  const press = (point) => {
    const { gesture, box } = page;
    if (tool.value === "polygon" && gesture) {
      const { points } = gesture;
      if (points.length > 2 && (near(point, points[0]) || near(point, points.at(-1)))) {
        page.gesture = null;
        sendShape(points, 0);
      } else if (!near(point, points.at(-1))) points.push(point);
    } else if (tool.value !== "move") page.gesture = { kind: tool.value, points: [point] };
    else if (box) {
      const held = corners(box).findIndex((corner) => near(point, corner));
      page.gesture = { kind: "move", points: [point], fixed: held < 0 ? null : corners(box)[(held + 2) % 4] };
    }
    page.draw();
  };
  const drag = (point) => {
    const { gesture } = page;
    if (gesture?.kind === "brush") {
      if (far(point, gesture.points.at(-1)) >= Math.max(radius() / 4, 0.5)) gesture.points.push(point);
    } else if (gesture && gesture.kind !== "polygon") gesture.points[1] = point;
    page.draw();
  };
  const far = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);
  const release = () => {
    const { gesture } = page;
    if (!gesture || gesture.kind === "polygon") return;
    const { kind, points } = gesture;
    page.gesture = null;
    if (kind === "brush") sendShape(points, radius());
    else if (kind === "rectangle" && points[1] && points[0].every((n, i) => n !== points[1][i])) sendShape(rectangle(points), 0);
    else if (kind === "move" && points[1]) page.sendMove(moveOf(gesture));
    page.draw();
  };

  const place = (event) => {
    const { left, top } = canvas.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top].map((n) => Math.round((100 * n) / shown()) / 100);
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.focus();
    canvas.setPointerCapture(event.pointerId);
    press((page.cursor = place(event)));
  });
  canvas.addEventListener("pointermove", (event) => {
    page.cursor = place(event);
    event.buttons & 1 ? drag(page.cursor) : page.draw();
  });
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", page.giveUp);
  canvas.addEventListener("pointerleave", () => {
    page.cursor = null;
    page.draw();
  });

  const moveBy = (event, arrow) => {
    const by = event.shiftKey ? 10 : 1;
    if (arrow && page.box) page.sendMove({ scale: 1, dx: arrow[0] * by, dy: arrow[1] * by });
    else if (event.key === "+" || event.key === "-") page.resize(event.key === "+");
    else return Boolean(arrow);
    page.draw();
    return true;
  };
  const onCanvas = (event) => {
    const arrow = ARROWS[event.key];
    if (tool.value === "move") return moveBy(event, arrow);
    page.cursor ??= [about.width / 2, about.height / 2];
    if (arrow) {
      const to = (n, i, end) => Math.min(Math.max(n + arrow[i] * (event.shiftKey ? 1 : 10), 0), end);
      page.cursor = page.cursor.map((n, i) => to(n, i, i ? about.height : about.width));
      drag(page.cursor);
    } else if (event.key === "Enter" || event.key === " ") {
      page.gesture && page.gesture.kind !== "polygon" ? release() : press(page.cursor);
    } else if (event.key === "Escape") page.giveUp();
    else return false;
    return true;
  };
  const withControl = (pressed, shift) => {
    if (pressed !== "z" && pressed !== "y") return false;
    page.send({ do: shift || pressed === "y" ? "redo" : "undo" });
    return true;
  };
  const anywhere = (event) => {
    const pressed = event.key.toLowerCase();
    if (event.ctrlKey || event.metaKey) return withControl(pressed, event.shiftKey);
    for (const [group, options] of [[tool, TOOLS], [paint, PAINTS]]) {
      const option = options.find(([, , key]) => key === pressed);
      if (option) group.choose(option[0]);
      if (option) return true;
    }
    if (pressed === "," || pressed === ".") page.step(pressed === "," ? -1 : 1);
    else if (pressed === "[" || pressed === "]") page.jump(pressed === "[" ? -1 : 1);
    else if (pressed === "k") page.onFrame({ do: "key" });
    else if (pressed === "delete") page.onFrame({ do: "unkey" });
    else return false;
    return true;
  };
  page.root.addEventListener("keydown", (event) => {
    event.stopPropagation(); // not the front end's keys
    if (event.altKey) return;
    if ((event.target === canvas && onCanvas(event)) || anywhere(event)) event.preventDefault();
  });
}
