// The API key, for a service that asks for one: kept by this tab alone, sent as a header, never part of an address.

const PLACE = "clairo-api-key";
let asking = null;

export const keptKey = () => sessionStorage.getItem(PLACE) ?? "";

export function keyHeaders(key) {
  return key ? { Authorization: `Bearer ${key}` } : {};
}

// Whether there is another key now. Calls that are refused together ask once.
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
  // Above another dialog that may be open.
  dialog.showModal();
  return new Promise((resolve) => {
    const onClose = () => {
      const key = dialog.returnValue === "use" ? input.value.trim() : "";
      input.value = "";
      if (key) sessionStorage.setItem(PLACE, key);
      resolve(key !== "");
    };
    dialog.addEventListener("close", onClose, { once: true });
  });
}
