// Passkeys need a script: everything else on these pages works without one.
"use strict";

/** Asks our server for a challenge, the person's authenticator for an answer, and sends the form with it. */
async function answer(form) {
  const said = form.querySelector("[role=alert]");
  said.hidden = true;
  try {
    const reply = await fetch(form.dataset.options, { method: "POST", body: new URLSearchParams(new FormData(form)) });
    const options = await reply.json();
    if (!reply.ok) throw new Error(options.detail ?? "The server refused.");
    const making = form.dataset.passkey === "create";
    const publicKey = making
      ? PublicKeyCredential.parseCreationOptionsFromJSON(options)
      : PublicKeyCredential.parseRequestOptionsFromJSON(options);
    const credential = await (making ? navigator.credentials.create({ publicKey }) : navigator.credentials.get({ publicKey }));
    form.elements.credential.value = JSON.stringify(credential.toJSON());
    form.submit();
  } catch (error) {
    said.textContent = error.name === "NotAllowedError" ? "Nothing was chosen. Try again." : error.message;
    said.hidden = false;
  }
}

if (globalThis.PublicKeyCredential?.parseRequestOptionsFromJSON) {
  for (const form of document.querySelectorAll("form[data-passkey]")) {
    form.hidden = false;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      answer(form);
    });
  }
}
