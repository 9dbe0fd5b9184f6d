// The words of the canvas, and the elements that it is made of. Python joins these files to one module.

const TOOLS = [
  ["brush", "Brush", "b", "paint with a round brush"],
  ["rectangle", "Rectangle", "r", "drag from corner to corner"],
  ["polygon", "Polygon", "p", "click the corners; click the first one again, or double-click, to close it"],
  ["move", "Move", "m", "drag the mask, or a corner of its box for its size; the frame becomes a keyframe"],
];
const PAINTS = [
  ["remove", "Remove", "1", "what is removed, or made again (white in the file)"],
  ["affected", "Affected", "2", "what it did to the scene: shadow, reflection, contact (grey in the file)"],
  ["erase", "Erase", "3", "take the mask away"],
];
const KEYS =
  "On the canvas: arrows move the crosshair by 10 pixels, with Shift by 1; Enter presses and releases the brush or" +
  " rectangle and sets a corner of a polygon, Enter twice closes it, Escape gives up. With Move, arrows move the mask by" +
  " 1 pixel, with Shift by 10, + and - change its size. Anywhere: , and . previous and next frame, [ and ] previous and" +
  " next keyframe, K sets a keyframe, Delete removes it, Ctrl+Z undoes, Ctrl+Shift+Z does it again; B, R, P, M choose the" +
  " tool, 1, 2, 3 the paint.";

// A name that no other canvas in the page has, as each has loaded a module of its own.
const ownName = () => `cogmagic-mask-${Math.random().toString(36).slice(2)}`;

function element(tag, name, attributes = {}, ...children) {
  const node = document.createElement(tag);
  if (name) node.className = `cogmagic-${name}`;
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function button(text, title, act) {
  const node = element("button", "", { type: "button", title }, text);
  node.addEventListener("click", act);
  return node;
}

// A group of radio buttons; `value` and `choose(value)`.
function choice(label, options, changed) {
  const name = ownName();
  const el = element("div", "mask-choice", { role: "radiogroup", "aria-label": label });
  const radios = options.map(([value, text, key, about]) => {
    const radio = element("input", "", { type: "radio", name, value });
    radio.addEventListener("change", changed);
    el.append(element("label", `mask-${value}`, { title: `${about} (${key.toUpperCase()})` }, radio, text));
    return radio;
  });
  radios[0].checked = true;
  return {
    el,
    get value() { return radios.find((radio) => radio.checked).value; },
    choose(value) { radios.find((radio) => radio.value === value).click(); },
  };
}

function bitmap(data) {
  return createImageBitmap(new Blob([data]));
}
