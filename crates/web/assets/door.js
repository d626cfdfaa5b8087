// Signing in with what a browser has: passkeys and wallets. Buttons say which, and what for.
"use strict";

(function () {
  const headers = { "content-type": "application/json", ...JSON.parse(document.body.getAttribute("hx-headers")) };
  const notice = document.getElementById("notice");

  function tell(tone, words) {
    const note = document.createElement("p");
    note.className = `notice ${tone}`;
    note.textContent = words;
    notice.replaceChildren(note);
  }

  async function ask(path, body) {
    const reply = await fetch(path, { method: "POST", headers, body: JSON.stringify(body || {}) });
    const said = (reply.headers.get("content-type") || "").includes("json") ? await reply.json() : {};
    if (!reply.ok) throw new Error(said.detail || "The process does not answer; nothing was changed.");
    return said;
  }

  function onward() {
    const form = document.getElementById("sign-in");
    window.location.assign(form ? form.dataset.to : window.location.pathname);
  }

  async function usePasskey(path) {
    const options = PublicKeyCredential.parseRequestOptionsFromJSON(await ask("/sign-in/passkey/options"));
    const answer = await navigator.credentials.get({ publicKey: options });
    await ask(path, answer.toJSON());
    onward();
  }

  async function addPasskey() {
    const name = document.getElementById("passkey-name").value;
    const options = PublicKeyCredential.parseCreationOptionsFromJSON(await ask("/security/passkeys/options"));
    const answer = await navigator.credentials.create({ publicKey: options });
    await ask("/security/passkeys", { name, answer: answer.toJSON() });
    onward();
  }

  async function useWallet(what) {
    if (!window.ethereum) throw new Error("There is no wallet in this browser.");
    const [wallet] = await window.ethereum.request({ method: "eth_requestAccounts" });
    const { text } = await ask("/sign-in/wallet/text", { wallet });
    const signature = await window.ethereum.request({ method: "personal_sign", params: [text, wallet] });
    const said = await ask(what === "link" ? "/security/wallet" : "/sign-in/wallet", { text, signature });
    if (said.done === false) throw new Error("This user has an authenticator app, too: sign in with name, password and its code.");
    onward();
  }

  const passkey = { "sign-in": () => usePasskey("/sign-in/passkey"), prove: () => usePasskey("/security/prove/passkey"), add: addPasskey };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-passkey], [data-wallet]");
    if (!button) return;
    button.disabled = true;
    try {
      if (button.dataset.passkey) await passkey[button.dataset.passkey]();
      else await useWallet(button.dataset.wallet);
    } catch (error) {
      // Whoever closes the dialog of the browser has changed his mind.
      if (error.name !== "NotAllowedError") tell("bad", error.message);
    } finally {
      button.disabled = false;
    }
  });
})();
