// A list of radio buttons, each with words below and beside it; for models, with a field for any other.
// The model's `rows` are [{value, name, about, fits, ok}]; `ok` is null where nothing is judged.

function element(tag, name) {
  const node = document.createElement(tag);
  node.className = name;
  return node;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function option(group) {
  const el = element("label", "cogmagic-choice");
  const radio = element("input", "cogmagic-radio");
  radio.type = "radio";
  radio.name = group;
  const body = element("span", "cogmagic-choice-text");
  el.append(radio, body);
  return { el, radio, body };
}

function render({ model, el }) {
  const group = `cogmagic-choice-${Math.random()}`; // a page may have several lists
  const list = element("div", `cogmagic-choices cogmagic-${model.get("kind")}`);
  list.setAttribute("role", "radiogroup");
  list.setAttribute("aria-label", model.get("description"));
  list.title = model.get("tooltip") ?? "";
  const title = element("div", "cogmagic-choices-title");
  title.textContent = model.get("description");
  title.setAttribute("aria-hidden", "true"); // it is the list's label
  el.append(title, list);
  const rows = [];

  const choose = (value) => {
    model.set("value", value);
    model.save_changes();
  };
  const add = () => {
    const row = option(group);
    const [name, about, fits] = ["name", "about", "fits"].map((n) => element("span", `cogmagic-choice-${n}`));
    row.body.append(name, fits, about);
    row.update = (data) => {
      row.value = row.radio.value = data.value;
      setText(name, data.name);
      setText(about, data.about);
      setText(fits, data.fits);
      fits.title = data.fits; // it may be cut off
      fits.dataset.ok = data.ok;
    };
    row.radio.addEventListener("change", () => row.radio.checked && choose(row.value));
    rows.push(row);
    list.insertBefore(row.el, other?.el ?? null);
  };
  const other = model.get("other") ? otherOption(group, model, choose) : null;
  if (other) list.append(other.el);
  const draw = () => {
    const data = model.get("rows");
    while (rows.length < data.length) add();
    data.forEach((one, i) => rows[i].update(one));
    const value = model.get("value");
    const chosen = rows.find((row) => row.value === value);
    if (chosen ?? other) (chosen ?? other).radio.checked = true;
    other?.show(chosen ? "" : value);
  };

  model.on("change:rows", draw);
  model.on("change:value", draw);
  draw();
  return () => {
    model.off("change:rows", draw);
    model.off("change:value", draw);
  };
}

function otherOption(group, model, choose) {
  const other = option(group);
  const text = element("input", "cogmagic-other");
  text.type = "text";
  text.placeholder = model.get("other");
  text.setAttribute("aria-label", `Another ${model.get("description").toLowerCase()}: ${text.placeholder}`);
  other.el.classList.add("cogmagic-choice-other");
  other.body.append("Another", text);
  other.show = (value) => {
    if (document.activeElement !== text) text.value = value;
  };
  other.radio.addEventListener("change", () => {
    text.focus();
    if (text.value.trim()) choose(text.value.trim());
  });
  text.addEventListener("change", () => text.value.trim() && choose(text.value.trim()));
  text.addEventListener("keydown", (event) => event.stopPropagation()); // not the front end's keys
  return other;
}

export default { render };
