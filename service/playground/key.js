// The API key: kept in this tab, sent as a header, never part of a url.

const PLACE = "clairo-api-key";
let asking = null;

export const keptKey = () => sessionStorage.getItem(PLACE) ?? "";

// Resolves to the key that the user entered, or to an empty text. Concurrent calls share one dialog.
export function askForKey(reason) {
  asking ??= shown(reason).finally(() => (asking = null));
  return asking;
}

function shown(reason) {
  const dialog = document.getElementById("key");
  const input = document.getElementById("key-input");
  document.getElementById("key-reason").textContent = reason;
  document.getElementById("open-key").hidden = false;
  input.value = "";
  dialog.returnValue = "";
  // Opens above another dialog.
  dialog.showModal();
  return new Promise((resolve) => {
    const onClose = () => {
      const key = dialog.returnValue === "use" ? input.value.trim() : "";
      input.value = "";
      if (key) sessionStorage.setItem(PLACE, key);
      resolve(key);
    };
    dialog.addEventListener("close", onClose, { once: true });
  });
}
