// A button that takes a file, and its field as a place to drop one. The file goes to the kernel in
// parts, each after the one before was received: a server refuses messages of more than 10 MB.

const PART = 2 ** 22;

function render({ model, el }) {
  const [button, input] = [document.createElement("button"), document.createElement("input")];
  const words = document.createElement("span");
  button.type = "button";
  button.className = "jupyter-button cogmagic-upload";
  button.append(words);
  input.type = "file";
  input.hidden = true;
  el.append(button, input);
  let sending = null;

  const draw = () => {
    input.accept = model.get("accept");
    words.textContent = sending ? `${sending.name}: ${Math.floor((100 * sending.at) / sending.file.size)} %` : "Upload or drop…";
    button.setAttribute("aria-label", `${model.get("label")}: upload or drop a file`);
    button.title = model.get("help");
  };
  const take = (file) => {
    if (!file || sending) return;
    sending = file.size <= model.get("limit") ? { file, name: file.name.slice(0, 30), at: 0 } : null;
    model.send({ begin: file.name, size: file.size });
    draw();
  };
  const reply = async (message) => {
    if (!sending) return; // another view's
    if (message.done) {
      sending = null;
    } else {
      const end = Math.min(sending.at + PART, sending.file.size);
      const part = sending.file.slice(sending.at, end);
      sending.at = end;
      let data;
      try {
        data = await part.arrayBuffer();
      } catch (error) { // it was removed, or is a folder
        sending = null;
        model.send({ failed: true });
      }
      if (data) model.send({ part: true }, undefined, [data]);
    }
    draw();
  };
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    take(input.files[0]);
    input.value = ""; // so that the same file again is a change
  });

  let field = null;
  const drag = (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault(); // else the browser opens the file
    event.stopPropagation();
    field.classList.toggle("cogmagic-dropping", event.type === "dragover");
    if (event.type === "drop") take(event.dataTransfer.files[0]);
  };
  const kinds = ["dragover", "dragleave", "drop"];
  const start = setInterval(() => {
    field = el.closest(".cogmagic-field");
    if (!field) return; // not yet in the page
    clearInterval(start);
    kinds.forEach((kind) => field.addEventListener(kind, drag, true));
  }, 50);
  model.on("msg:custom", reply);
  draw();
  return () => {
    clearInterval(start);
    kinds.forEach((kind) => field?.removeEventListener(kind, drag, true));
    model.off("msg:custom", reply);
  };
}

export default { render };
