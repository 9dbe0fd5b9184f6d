// The clipboard and downloads, in the page in which the button was pressed.

function render({ model, el }) {
  const act = (message, buffers) => {
    const panel = el.closest(".cogmagic-panel");
    if (!panel?.contains(document.activeElement)) return; // another page's or view's button
    if ("copy" in message) {
      const copying = navigator.clipboard?.writeText(message.copy) ?? Promise.reject();
      copying.then(() => model.send({ copied: true }), () => model.send({ copied: false }));
    } else if ("download" in message) {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([buffers[0]], { type: message.mime }));
      link.download = message.download;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    }
  };
  model.on("msg:custom", act);
  return () => model.off("msg:custom", act);
}

export default { render };
