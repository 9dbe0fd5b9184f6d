// The clipboard, downloads and the focus, in the view in which a button was pressed.

const FRAMES = 60; // that an element may take to appear

let focuses = 0;

function focus(panel, selector) {
  const number = ++focuses;
  const attempt = (frames) => {
    const element = panel.querySelector(selector);
    if (number !== focuses) return; // a later one is wanted
    if (element?.offsetParent && !element.disabled) element.focus();
    else if (frames) requestAnimationFrame(() => attempt(frames - 1));
  };
  attempt(FRAMES);
}

function download(message, data) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([data], { type: message.mime }));
  link.download = message.download;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function render({ model, el }) {
  const view = Math.random().toString(36);
  const panel = () => el.closest(".cogmagic-panel");
  // Before the button's own message, which the kernel answers.
  const press = (event) => {
    if (panel()?.contains(event.target) && event.target.closest("button")) model.send({ pressed: view });
  };
  const act = (message, buffers) => {
    if (message.view !== view) return;
    if ("copy" in message) {
      const copying = navigator.clipboard?.writeText(message.copy) ?? Promise.reject();
      copying.then(() => model.send({ copied: true }), () => model.send({ copied: false }));
    } else if ("download" in message) download(message, buffers[0]);
    else if ("focus" in message) focus(panel(), message.focus);
  };
  window.addEventListener("click", press, true);
  model.on("msg:custom", act);
  return () => {
    window.removeEventListener("click", press, true);
    model.off("msg:custom", act);
  };
}

export default { render };
