// The requests that wait for the one that runs, with buttons that move, edit and remove them.
// The model's `entries` are [{number, title, about}].

const ACTS = [
  ["earlier", "fa-arrow-up", "Run earlier"],
  ["later", "fa-arrow-down", "Run later"],
  ["edit", "fa-pencil", "Take out of the queue and enter into the form"],
  ["remove", "fa-times", "Remove from the queue"],
];

function element(tag, name, text = "") {
  const node = document.createElement(tag);
  node.className = name;
  node.textContent = text;
  return node;
}

function button(act, number, icon, words, send) {
  const node = element("button", "jupyter-button cogmagic-act");
  node.type = "button";
  node.title = words;
  node.setAttribute("aria-label", words);
  Object.assign(node.dataset, { act, number });
  const picture = element("i", `fa ${icon}`);
  picture.setAttribute("aria-hidden", "true");
  node.append(picture);
  node.addEventListener("click", () => send(act, number));
  return node;
}

function render({ model, el }) {
  const root = element("section", "cogmagic-queue");
  root.setAttribute("aria-label", "Queue");
  const [head, list] = [element("div", "cogmagic-queue-head"), element("ol", "cogmagic-queue-list")];
  const words = element("span", "cogmagic-queue-words");
  const send = (act, number) => model.send({ act, number });
  const clear = element("button", "jupyter-button cogmagic-act", "Clear the queue");
  clear.type = "button";
  clear.title = "remove all that wait; the run goes on";
  clear.addEventListener("click", () => send("clear", 0));
  head.append(words, clear);
  root.append(head, list);
  el.append(root);

  const row = ({ number, title, about }, i, all) => {
    const item = element("li", "cogmagic-queue-item");
    const text = element("div", "cogmagic-queue-text");
    text.append(element("div", "cogmagic-queue-title", title), element("div", "cogmagic-queue-about", about));
    text.title = title;
    const buttons = ACTS.map(([act, icon, name]) => button(act, number, icon, `${name}: ${title.slice(0, 60)}`, send));
    buttons[0].disabled = i === 0;
    buttons[1].disabled = i === all.length - 1;
    item.append(text, ...buttons);
    return item;
  };
  const draw = () => {
    const entries = model.get("entries");
    const focused = root.contains(document.activeElement) ? document.activeElement : null;
    const place = focused ? [...root.querySelectorAll(".cogmagic-queue-item")].indexOf(focused.closest("li")) : -1;
    root.hidden = !entries.length;
    words.textContent = `Queue: ${entries.length} waiting`;
    list.replaceChildren(...entries.map(row));
    if (!focused || root.contains(document.activeElement)) return;
    // The same button of the same request, or of the one in its place, or what made the queue.
    const same = root.querySelector(`[data-act="${focused.dataset.act}"][data-number="${focused.dataset.number}"]:enabled`);
    const near = list.children[Math.min(place, entries.length - 1)]?.querySelector("button:enabled");
    (same ?? near ?? el.closest(".cogmagic-panel")?.querySelector(".cogmagic-generate"))?.focus();
  };
  model.on("change:entries", draw);
  draw();
  return () => model.off("change:entries", draw);
}

export default { render };
