// The export of leads. The server sends a file while it makes it, and the browser shows how far the download is.
"use strict";

document.addEventListener("submit", ({ target }) => {
  if (target.id !== "export") return;
  target.closest("dialog")?.close();
  const toast = document.createElement("p");
  toast.className = "toast good";
  toast.textContent = target.dataset.started;
  document.getElementById("toasts").replaceChildren(toast);
});
