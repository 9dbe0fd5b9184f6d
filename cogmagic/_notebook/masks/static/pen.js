// What the page itself draws: shapes until Python has answered with their pixels, the box of the
// mask, the crosshair. Coordinates are the clip's pixels.

const RESTING = { scale: 1, dx: 0, dy: 0 };

// The corners of a box [left, top, right, bottom], clockwise.
const corners = ([left, top, right, bottom]) => [[left, top], [right, top], [right, bottom], [left, bottom]];
const rectangle = ([a, b = a]) => corners([...a, ...b]);

// A scale about a point, and one move after another.
const scaled = (factor, [x, y]) => ({ scale: factor, dx: x * (1 - factor), dy: y * (1 - factor) });
const then = (a, b) => ({ scale: a.scale * b.scale, dx: b.scale * a.dx + b.dx, dy: b.scale * a.dy + b.dy });

function pen(canvas, zoom, colours) {
  const { width, height } = canvas;
  const ink = canvas.getContext("2d");

  const shape = ({ points, radius, paint }, closed = true) => {
    const erase = paint === "erase";
    ink.save();
    ink.globalCompositeOperation = erase ? "destination-out" : "source-over";
    ink.globalAlpha = erase ? 1 : 0.55;
    ink.fillStyle = ink.strokeStyle = colours[paint] ?? "#000";
    ink.beginPath();
    points.forEach(([x, y], i) => ink[i ? "lineTo" : "moveTo"](x * zoom, y * zoom));
    if (radius) {
      if (points.length === 1) ink.lineTo(points[0][0] * zoom + 0.01, points[0][1] * zoom);
      [ink.lineWidth, ink.lineCap, ink.lineJoin] = [2 * radius * zoom, "round", "round"];
      ink.stroke();
    } else if (closed) ink.fill("evenodd");
    ink.restore();
    if (!radius && !closed) outline();
  };
  // The path in white on black, which is seen on every picture.
  const outline = () => {
    for (const [style, lineWidth] of [["#000", 3.5], ["#fff", 1.5]]) {
      [ink.strokeStyle, ink.lineWidth] = [style, lineWidth];
      ink.stroke();
    }
  };
  const box = (of, move) => {
    const at = corners(of).map(([x, y]) => [(x * move.scale + move.dx) * zoom, (y * move.scale + move.dy) * zoom]);
    ink.beginPath();
    ink.setLineDash([6, 4]);
    ink.rect(...at[0], at[2][0] - at[0][0], at[2][1] - at[0][1]);
    outline();
    ink.setLineDash([]);
    ink.beginPath();
    for (const [x, y] of at) ink.rect(x - 4, y - 4, 8, 8);
    outline();
  };
  const crosshair = ([x, y], radius) => {
    const [left, top] = [x * zoom, y * zoom];
    ink.beginPath();
    if (radius) {
      ink.arc(left, top, radius * zoom, 0, 7);
      ink.closePath();
    }
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      ink.moveTo(left + 2 * dx, top + 2 * dy);
      ink.lineTo(left + 8 * dx, top + 8 * dy);
    }
    outline();
  };
  // Begin again with the mask's pixels where `move` has put them.
  const begin = (overlay, move) => {
    ink.clearRect(0, 0, width, height);
    if (!overlay) return;
    ink.setTransform(move.scale, 0, 0, move.scale, move.dx * zoom, move.dy * zoom);
    ink.drawImage(overlay, 0, 0);
    ink.resetTransform();
  };
  return { begin, shape, box, crosshair };
}
