// What pages gain from JavaScript: times in the browser's zone, live parts, one press of a button, ticks for all, copying.
// Everything else works without it.
"use strict";

(() => {
  const language = document.documentElement.lang;
  const full = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" });
  // 2026-11-25 21:04, in every language: it sorts, and no month is taken for a day.
  const two = (number) => String(number).padStart(2, "0");
  const short = (moment) =>
    `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())} ` +
    `${two(moment.getHours())}:${two(moment.getMinutes())}`;

  const localTimes = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const moment = new Date(time.dateTime);
      if (Number.isNaN(moment.getTime())) continue;
      time.title = full.format(moment);
      if (!("ago" in time.dataset)) time.textContent = short(moment);
    }
  };

  // A live part: every element of a message takes the place of the one with its id.
  const live = (place) => {
    const source = new EventSource(place);
    source.onmessage = (event) => {
      const fresh = new DOMParser().parseFromString(event.data, "text/html");
      for (const part of [...fresh.body.children]) {
        const old = part.id && document.getElementById(part.id);
        if (!old) continue;
        if (part.dataset.live) part.dataset.begun = ""; // its stream is this one
        keepOpen(old, part);
        old.replaceWith(part);
        prepare(part);
      }
    };
    source.addEventListener("end", (event) => {
      source.close();
      if (event.data) window.location.assign(event.data);
    });
    source.onopen = () => document.body.removeAttribute("data-lost");
    source.onerror = () => document.body.setAttribute("data-lost", "");
    window.addEventListener("pagehide", () => source.close());
  };

  // What a person opened stays open, and what has the focus keeps it.
  const keepOpen = (old, fresh) => {
    for (const details of old.querySelectorAll("details[id][open]")) {
      const same = fresh.querySelector(`#${CSS.escape(details.id)}`);
      if (same) same.open = true;
    }
    const held = document.activeElement;
    if (held && held.id && old.contains(held)) {
      requestAnimationFrame(() => document.getElementById(held.id)?.focus());
    }
  };

  const prepare = (root) => localTimes(root);

  document.addEventListener("submit", (event) => {
    // A second press does nothing; the button is free again when the page comes back from the history.
    const form = event.target;
    if (form.method !== "post" || form.hasAttribute("hx-post")) return;
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "1";
    setTimeout(() => { delete form.dataset.sent; }, 5000);
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.forms) delete form.dataset.sent;
  });

  document.addEventListener("change", (event) => {
    const all = event.target.closest("[data-all]");
    if (!all) return;
    for (const box of document.querySelectorAll(`input[type=checkbox][name="${CSS.escape(all.dataset.all)}"]`)) {
      box.checked = all.checked;
    }
  });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent.trim());
    button.dataset.copied = "";
    setTimeout(() => { delete button.dataset.copied; }, 2000);
  });

  const begin = () => {
    for (const part of document.querySelectorAll("[data-live]:not([data-begun])")) {
      part.dataset.begun = "";
      live(part.dataset.live);
    }
  };

  document.addEventListener("htmx:after:swap", () => {
    prepare(document);
    begin();
  });
  const menu = document.getElementById("menu");
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && menu) menu.open = false;
  });

  prepare(document);
  begin();
  for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;
})();
