// The list of models: a radio button per row, and a field for a hub id or folder.
// The model's `rows` are [{value, name, about, fits, ok}]; `ok` is null until it is planned.

let views = 0;

function element(tag, name) {
  const node = document.createElement(tag);
  node.className = name;
  return node;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function option(group) {
  const el = element("label", "cogmagic-model");
  const radio = element("input", "cogmagic-radio");
  radio.type = "radio";
  radio.name = group;
  const body = element("span", "cogmagic-model-text");
  el.append(radio, body);
  return { el, radio, body };
}

function render({ model, el }) {
  const group = `cogmagic-model-${++views}`;
  const list = element("div", "cogmagic-models");
  list.setAttribute("role", "radiogroup");
  list.setAttribute("aria-label", "Model");
  const rows = [];
  const other = option(group);
  const text = element("input", "cogmagic-other");
  text.type = "text";
  text.placeholder = "hub id (owner/name) or folder";
  text.setAttribute("aria-label", "Another model: hub id or folder");
  other.el.classList.add("cogmagic-model-other");
  other.body.append("Another", text);
  list.append(other.el);
  el.append(list);

  const choose = (value) => {
    model.set("value", value);
    model.save_changes();
  };
  const add = () => {
    const row = option(group);
    const [name, about, fits] = ["name", "about", "fits"].map((n) => element("span", `cogmagic-model-${n}`));
    row.body.append(name, fits, about);
    row.update = (data) => {
      row.value = row.radio.value = data.value;
      setText(name, data.name);
      setText(about, data.about);
      setText(fits, data.fits);
      fits.title = data.fits;
      fits.dataset.ok = data.ok;
    };
    row.radio.addEventListener("change", () => row.radio.checked && choose(row.value));
    rows.push(row);
    list.insertBefore(row.el, other.el);
  };
  const draw = () => {
    const data = model.get("rows");
    while (rows.length < data.length) add();
    data.forEach((one, i) => rows[i].update(one));
    const value = model.get("value");
    const chosen = rows.find((row) => row.value === value);
    (chosen ?? other).radio.checked = true;
    if (!chosen && document.activeElement !== text) text.value = value;
    if (chosen && document.activeElement !== text) text.value = "";
  };
  other.radio.addEventListener("change", () => {
    text.focus();
    if (text.value.trim()) choose(text.value.trim());
  });
  text.addEventListener("change", () => text.value.trim() && choose(text.value.trim()));
  text.addEventListener("keydown", (event) => event.stopPropagation()); // not the front end's keys

  model.on("change:rows", draw);
  model.on("change:value", draw);
  draw();
  return () => {
    model.off("change:rows", draw);
    model.off("change:value", draw);
  };
}

export default { render };
